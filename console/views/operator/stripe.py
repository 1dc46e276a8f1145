"""How far we are with Stripe: what it was told, what it told us, and where the two differ."""

from __future__ import annotations

import json
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from billing import stripe_client
from billing.models import (
    UNFINISHED,
    DifferenceKind,
    EventState,
    OutboxItem,
    OutboxState,
    Reconciliation,
    StripeSync,
    WebhookEvent,
    WebhookRefusal,
)
from billing.payments import outbox_retry, webhook_replay
from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.sheets import act_answer
from console.step_up import stepped_up
from console.views.operator.paging import after_of, page_of

ITEM_KINDS: Final = {
    OutboxState.DONE: "ok",
    OutboxState.FAILED: "bad",
    OutboxState.DEAD: "bad",
    OutboxState.UNKNOWN: "warn",
}
EVENT_KINDS: Final = {
    EventState.DONE: "ok",
    EventState.REFUSED: "bad",
    EventState.RECEIVED: "warn",
}
DIFFERENCE_KINDS: Final = {DifferenceKind.LAG: "warn"}


@require_safe
@operator_page
def operator_stripe(request: OperatorRequest) -> HttpResponse:
    """Whether Stripe answers, how much waits, and the calls to it, those that failed first."""
    state = filter_read(
        request, "state", OutboxState.choices, label=_("State"), every=_("Every state")
    )
    search = request.GET.get("q", "").strip()
    found = OutboxItem.objects.select_related("organization")
    if state.value:
        found = found.filter(state=state.value)
    if search:
        named = Q(organization__slug=search.lower()) | Q(organization__name__icontains=search)
        found = found.filter(named | Q(stripe_id=search) | Q(entity__icontains=search))
    page = page_of(found, unique="id", order="-created_at", after=after_of(request))
    counts = _counts()
    context = {
        "is_on": stripe_client.is_on(),
        "is_fake": bool(settings.STRIPE_API_BASE),
        "sync": StripeSync.objects.first(),
        "counts": counts,
        "unfinished": sum(counts.get(one, 0) for one in UNFINISHED),
        "open": Reconciliation.objects.filter(resolved_at=None).count(),
        "search": search,
        "filters": [state],
        "is_filtered": search or state.value,
        "page": page,
        "rows": [(item, ITEM_KINDS.get(OutboxState(item.state), "idle")) for item in page.rows],
    }
    return render(request, "console/operator/stripe.html", context)


@require_safe
@operator_page
def operator_outbox_item(request: OperatorRequest, item: UUID) -> HttpResponse:
    """One call to Stripe, with what it says."""
    found = get_object_or_404(OutboxItem.objects.select_related("organization"), pk=item)
    context = {
        "item": found,
        "kind": ITEM_KINDS.get(OutboxState(found.state), "idle"),
        "payload": json.dumps(found.payload, indent=2, ensure_ascii=False),
    }
    return render(request, "console/operator/outbox_item.html", context)


@require_safe
@operator_page
def operator_webhooks(request: OperatorRequest) -> HttpResponse:
    """The events of Stripe, the newest first, and webhooks that were refused."""
    state = filter_read(
        request, "state", EventState.choices, label=_("State"), every=_("Every state")
    )
    search = request.GET.get("q", "").strip()
    found = WebhookEvent.objects.defer("body")
    if state.value:
        found = found.filter(state=state.value)
    if search:
        found = found.filter(Q(pk=search) | Q(object_id=search) | Q(type__icontains=search))
    page = page_of(found, unique="id", order="-received_at", after=request.GET.get("after", ""))
    context = {
        "search": search,
        "filters": [state],
        "is_filtered": search or state.value,
        "page": page,
        "rows": [(event, EVENT_KINDS.get(EventState(event.state), "idle")) for event in page.rows],
        "refusals": WebhookRefusal.objects.all()[:20],
    }
    return render(request, "console/operator/webhooks.html", context)


@require_safe
@operator_page
def operator_webhook(request: OperatorRequest, event: str) -> HttpResponse:
    """One event as Stripe sent it, and what became of it."""
    found = get_object_or_404(WebhookEvent, pk=event)
    context = {
        "event": found,
        "kind": EVENT_KINDS.get(EventState(found.state), "idle"),
        "body": json.dumps(found.body, indent=2, ensure_ascii=False),
    }
    return render(request, "console/operator/webhook.html", context)


@require_safe
@operator_page
def operator_reconciliation(request: OperatorRequest) -> HttpResponse:
    """What we have and Stripe has otherwise: what is open, and with `state=over` what was."""
    choices = (("open", _("Open")), ("over", _("Over")))
    state = filter_read(request, "state", choices, label=_("State"))
    kind = filter_read(
        request, "kind", DifferenceKind.choices, label=_("Difference"), every=_("Every kind")
    )
    found = Reconciliation.objects.filter(resolved_at__isnull=state.value == "open")
    if kind.value:
        found = found.filter(kind=kind.value)
    page = page_of(found, unique="id", order="-first_seen_at", after=after_of(request))
    context = {
        "is_on": stripe_client.is_on(),
        "sync": StripeSync.objects.first(),
        "now": timezone.now(),
        "filters": [state, kind],
        "state": state,
        "page": page,
        "rows": [(one, DIFFERENCE_KINDS.get(DifferenceKind(one.kind), "bad")) for one in page.rows],
    }
    return render(request, "console/operator/reconciliation.html", context)


@require_POST
@operator_page
@stepped_up
def operator_outbox_retry(request: OperatorRequest, item: UUID) -> HttpResponse:
    """Send once more what Stripe has refused."""
    found = get_object_or_404(OutboxItem, pk=item)
    return act_answer(
        request,
        lambda: outbox_retry(actor=request.user, item=found, now=timezone.now()),
        said=_("It is sent again within seconds."),
        to=reverse("operator_outbox_item", args=[found.pk]),
    )


@require_POST
@operator_page
@stepped_up
def operator_webhook_replay(request: OperatorRequest, event: str) -> HttpResponse:
    """Look once more at what an event is about. Nothing can be booked twice by it."""
    found = get_object_or_404(WebhookEvent, pk=event)
    return act_answer(
        request,
        lambda: webhook_replay(actor=request.user, event=found),
        said=_("It is looked at again within seconds."),
        to=reverse("operator_webhook", args=[found.pk]),
    )


def _counts() -> dict[str, int]:
    """How many calls are in each state, but for the many that are done."""
    rows = OutboxItem.objects.exclude(state=OutboxState.DONE).order_by().values_list("state")
    return dict(rows.annotate(Count("pk")))
