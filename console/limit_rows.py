"""Limits as pages show them: what holds, where it comes from, and how much of it is in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import redis
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.holds import LimitAsk, LimitState, limits_state
from billing.limits import counter_of
from billing.models import Limit, LimitKind, Terms
from tenants.models import Organization

HEADERS: Final = {
    LimitKind.REQUESTS_MINUTE: "x-ratelimit-limit-requests",
    LimitKind.TOKENS_MINUTE: "x-ratelimit-limit-tokens",
}
"""The header of answers that tells a limit of this kind; its twins have remaining and reset."""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit that holds. `limit` is None for a plan's; `state` when the counters do not answer."""

    kind: LimitKind
    value: int
    counter: str
    scope: str
    model: str = ""
    source: str = ""
    limit: Limit | None = None
    state: LimitState | None = None

    @property
    def label(self) -> str:
        return str(self.kind.label)

    @property
    def header(self) -> str:
        return HEADERS.get(self.kind, "")

    @property
    def used(self) -> int | None:
        return None if self.state is None else max(self.value - self.state.remaining, 0)

    @property
    def is_full(self) -> bool:
        return self.state is not None and self.state.remaining <= 0

    @property
    def ends_at(self) -> datetime | None:
        return self.limit.ends_at if self.limit else None


def limit_rows(organization: Organization) -> list[LimitRow]:
    """All that holds for `organization`, first its own. Two queries and a call to Valkey."""
    limits = limits_now(Limit.objects.for_organization(organization))
    own = [_row(limit) for limit in limits]
    decided = {row.kind for row in own if row.counter == "o"}
    rows = [*_of_plan(terms_of(organization), decided), *own]
    return with_use(organization, sorted(rows, key=_order))


def limits_now(limits: QuerySet[Limit]) -> QuerySet[Limit]:
    """Those of `limits` that have not ended, with what their rows read."""
    holds = limits.filter(Q(ends_at=None) | Q(ends_at__gt=timezone.now()))
    return holds.select_related("project", "api_key", "set_by")


def terms_of(organization: Organization) -> Terms:
    """What was agreed, or what holds where nothing was."""
    found = Terms.objects.for_organization(organization).select_related("plan").first()
    return found or Terms(organization=organization)


def _order(row: LimitRow) -> tuple[bool, str, str, int]:
    place = list(LimitKind).index(row.kind)
    return row.counter[0] != "o", row.scope, row.model, place


def _row(limit: Limit) -> LimitRow:
    return LimitRow(
        kind=LimitKind(limit.kind),
        value=limit.value,
        counter=counter_of(limit),
        scope=scope_name(limit),
        model=limit.model,
        source=limit.reason or (_("Agreed") if is_whole(limit) else _("Set here")),
        limit=limit,
    )


def _of_plan(terms: Terms, decided: Iterable[LimitKind]) -> Iterator[LimitRow]:
    for kind in LimitKind:
        value = getattr(terms.plan, kind.value) if terms.plan else None
        if value is not None and kind not in decided:
            source = _("Plan %(plan)s") % {"plan": terms.plan}
            yield LimitRow(kind, value, "o", _("Organization"), source=source)


def is_whole(limit: Limit) -> bool:
    return not (limit.project_id or limit.api_key_id)


def scope_name(limit: Limit) -> str:
    """What it is set for, as a heading: `Project Search`."""
    if limit.api_key:
        return _("Key %(name)s") % {"name": limit.api_key}
    if limit.project:
        return _("Project %(name)s") % {"name": limit.project}
    return _("Organization")


def with_use(organization: Organization, rows: Iterable[LimitRow]) -> list[LimitRow]:
    """`rows` with how much of each is in use now, where the counters say."""
    rows = list(rows)
    asks = [LimitAsk(row.counter, row.kind, row.value) for row in rows]
    try:
        states = limits_state(organization.pk, asks) if asks else []
    except redis.RedisError:
        states = []
    known = {(state.id, state.kind): state for state in states}
    return [replace(row, state=known.get((row.counter, row.kind))) for row in rows]
