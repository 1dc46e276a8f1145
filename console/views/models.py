"""The models a customer can call."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import member_page
from console.filters import filter_read
from console.http import OrganizationRequest
from console.offers import grouped, known_to, offers_of
from console.policies import allowed_regions
from console.snippets import snippets_of
from inference.cards import card_read
from inference.limits import limits_of
from inference.models import Capability, Model, ModelQuerySet, ModelStatus, Task

PAGE_ROWS: Final = 100


@require_safe
@member_page
def models(request: OrganizationRequest) -> HttpResponse:
    """What the organization can call, with prices, by id; `after` is the last id before."""
    search = request.GET.get("q", "").strip()
    task = filter_read(request, "task", Task.choices, label=_("Task"), every=_("Every task"))
    can = filter_read(
        request, "can", Capability.choices, label=_("Capability"), every=_("Every capability")
    )
    found = _matching(known_to(request.organization), search, task.value, can.value)
    found = found.exclude(status=ModelStatus.RETIRED)
    rows = list(found.filter(public_id__gt=request.GET.get("after", ""))[: PAGE_ROWS + 1])
    context = {
        "groups": grouped(offers_of(rows[:PAGE_ROWS], timezone.now(), request.organization)),
        "next": rows[PAGE_ROWS - 1].public_id if len(rows) > PAGE_ROWS else None,
        "allowed_regions": allowed_regions(request.organization),
        "search": search,
        "filters": [task, can],
        "is_filtered": search or task.value or can.value,
    }
    return render(request, "console/models/models.html", context)


def _matching(found: ModelQuerySet, search: str, task: str, can: str) -> ModelQuerySet:
    if task:
        found = found.filter(tasks__contains=[task])
    if can:
        found = found.filter(capabilities__contains=[can])
    if search:
        named = Q(public_id__icontains=search) | Q(name__icontains=search)
        found = found.filter(
            named
            | Q(family__icontains=search)
            | Q(owned_by__icontains=search)
            | Q(aliases__icontains=search)
        )
    return found


@require_safe
@member_page
def model(request: OrganizationRequest, model: str) -> HttpResponse:
    """All there is to know of one model; an alias leads to its model."""
    known = known_to(request.organization)
    found = known.filter(public_id=model).first()
    if found is None:
        return redirect("model", request.organization.slug, _by_alias(known, model).public_id)
    offers = offers_of([found], timezone.now(), request.organization)
    if not offers:
        raise Http404
    is_retired = found.status == ModelStatus.RETIRED
    context = {
        "offer": offers[0],
        "model": found,
        "replacement": _replacement(request, found),
        "limits": limits_of(found),
        "plain_bytes": min(settings.GATEWAY_MAX_BODY_BYTES, limits_of(found).body_bytes),
        "card": card_read(found),
        "snippets": [] if is_retired else snippets_of(found.public_id, found.tasks),
    }
    return render(request, "console/models/model.html", context)


def _by_alias(known: ModelQuerySet, name: str) -> Model:
    """Raises Http404."""
    if found := known.filter(aliases__contains=[name]).first():
        return found
    raise Http404


def _replacement(request: OrganizationRequest, found: Model) -> Model | None:
    """What replaces `found`, if the organization can call that."""
    offered = known_to(request.organization).exclude(status=ModelStatus.RETIRED)
    return offered.filter(replaces=found).first()
