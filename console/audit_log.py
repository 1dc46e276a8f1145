"""The audit pages: what is asked of a chain, and one page of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, override
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.translation import gettext as _

from console.audit_rows import audit_rows
from console.audit_words import action_said
from console.exports import text_stream
from console.filters import Filter, filter_read
from console.forms import LOG_RANGES, LogForm
from console.http import UserRequest
from tenants.audit.proofs import export_lines
from tenants.audit.reading import actions_of, actors_of
from tenants.models import AuditEntry, AuditStanding

SIZE: Final = 50
JSONL: Final = "application/x-ndjson; charset=utf-8"
ITSELF: Final = "none"
"""The choice of acts that nobody did but the platform."""


class AuditForm(LogForm):
    """The address of an audit page: a range, and `q`, the id or a part of the name of an object."""

    @property
    @override
    def preset(self) -> str | None:
        if self.own_days:
            return None
        return str((not self.errors and self.cleaned_data["range"]) or "30d")


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries of a chain, newest first. `older` is the number before which the next page is;
    on `is_first` there are no newer ones.
    """

    entries: Sequence[AuditEntry]
    older: int | None
    is_first: bool


def audit_context(
    request: UserRequest, entries: QuerySet[AuditEntry], chain: UUID
) -> dict[str, Any]:
    """What the template of an audit page needs. `entries` are those of `chain`."""
    form = AuditForm(request.GET)
    form.is_valid()
    filters = _filters(request, chain)
    page = _page(_matching(entries, form, filters), request.GET.get("before", ""))
    return {
        "form": form,
        "filters": filters,
        "is_filtered": form.search or any(one.value for one in filters),
        "ranges": [(name, label) for name, (_length, label) in LOG_RANGES.items()],
        "page": page,
        "rows": audit_rows(page.entries, to_staff=request.user.is_staff),
        "standing": AuditStanding.objects.filter(chain=chain).first(),
    }


def export_answer(
    request: UserRequest, chain: UUID, *, name: str, file: str
) -> StreamingHttpResponse:
    """The whole chain with its proof, as a file."""
    lines = export_lines(chain, name=name, to_staff=request.user.is_staff)
    return text_stream(f"{file}.jsonl", JSONL, lines)


def _matching(
    entries: QuerySet[AuditEntry], form: AuditForm, filters: Sequence[Filter]
) -> QuerySet[AuditEntry]:
    start, end = form.span
    found = entries.filter(created_at__gte=start, created_at__lt=end)
    chosen = {one.name: one.value for one in filters if one.value}
    if actor := chosen.get("actor"):
        found = found.filter(actor=None) if actor == ITSELF else found.filter(actor=int(actor))
    if action := chosen.get("action"):
        found = found.filter(action=action)
    if form.search:
        ids = Q(target_id=form.search) | Q(request_id=form.search)
        found = found.filter(ids | Q(data__name__icontains=form.search))
    return found.select_related("actor", "on_behalf_of")


def _page(found: QuerySet[AuditEntry], before: str) -> AuditPage:
    is_first = not (before.isdecimal() and len(before) < 19)
    if not is_first:
        found = found.filter(seq__lt=int(before))
    entries = list(found.order_by("-seq")[: SIZE + 1])
    older = entries[SIZE - 1].seq if len(entries) > SIZE else None
    return AuditPage(entries[:SIZE], older, is_first)


def _filters(request: HttpRequest, chain: UUID) -> list[Filter]:
    people = [(str(user.pk), str(user)) for user in actors_of(chain)]
    actions = sorted(((a, action_said(a)) for a in actions_of(chain)), key=lambda pair: pair[1])
    return [
        filter_read(
            request,
            "actor",
            [*people, (ITSELF, _("Sluice itself"))],
            label=_("Who"),
            every=_("Everyone"),
        ),
        filter_read(request, "action", actions, label=_("What"), every=_("Everything")),
    ]
