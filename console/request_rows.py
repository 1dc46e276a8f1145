"""The request log as people read it: with the names of keys, regions and organizations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from billing.models import UsageEvent
from console.exports import Rows, cell
from console.reports import money_places
from console.request_log import Asked, Place, RequestLog
from console.request_story import KINDS
from inference.models import Region
from tenants.models import ApiKey, KeyKind, Organization

CSV_ROWS: Final = 100_000
CSV_PIECE: Final = 2_000
COLUMNS: Final = (
    "ended_at", "request_id", "client_request_id", "project", "api_key", "model", "endpoint",
    "region", "ending", "streamed", "queued_ms", "ttft_ms", "duration_ms", "input_tokens",
    "cached_tokens", "output_tokens", "audio_seconds", "amount", "currency",
)  # fmt: skip
OPERATOR_COLUMNS: Final = ("organization", "backend", "attempts")
_READ: Final = (
    "occurred_at", "request_id", "client_request_id", "api_key_id", "model", "endpoint", "region",
    "outcome", "streamed", "queued_ms", "ttft_ms", "duration_ms", "input_tokens", "cached_tokens",
    "output_tokens", "audio_seconds", "amount", "currency", "backend", "attempts",
)  # fmt: skip
"""Of the events, as plain values: to make an object of each takes longer than all the rest."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """An event and the names of what it is of."""

    event: UsageEvent
    key: ApiKey
    region: str
    organization: Organization

    @property
    def kind(self) -> str:
        """The colour of its ending."""
        return KINDS[self.event.outcome]

    @property
    def key_note(self) -> str:
        return note_of(self.key)


def note_of(key: ApiKey) -> str:
    """What tells it from another key of the same name."""
    return key.project.name if key.kind == KeyKind.PLAYGROUND else key.hint


def rows_of(events: Sequence[UsageEvent]) -> list[LogRow]:
    """Two queries, however many events."""
    keys = _keys({event.api_key_id for event in events})
    regions = dict(Region.objects.values_list("code", "site")) if events else {}
    return [
        LogRow(
            event,
            keys[event.api_key_id],
            regions.get(event.region, event.region),
            keys[event.api_key_id].organization,
        )
        for event in events
    ]


def _keys(ids: Collection[UUID]) -> dict[UUID, ApiKey]:
    return ApiKey.objects.select_related("project", "organization").in_bulk(ids)


def places_of(events: Sequence[UsageEvent]) -> int:
    """How many decimals show the smallest amount of a page."""
    return money_places(min((event.amount for event in events if event.amount), default=Decimal(0)))


def csv_pieces(
    log: RequestLog[UsageEvent], asked: Asked, *, for_operator: bool = False
) -> Iterator[Rows]:
    """The requests that match, newest first, at most `CSV_ROWS`; a last line tells of more."""
    yield [(*(OPERATOR_COLUMNS if for_operator else ()), *COLUMNS)]
    rows = RequestLog[Any](log.events.values_list(*_READ, named=True), log.hours)
    names = dict[UUID, _Names]()
    at: Place | None = None
    left = CSV_ROWS
    while left > 0:
        page = rows.page(asked, at, size=min(left, CSV_PIECE))
        names |= _names({row.api_key_id for row in page.events} - names.keys())
        yield [_csv_row(row, names[row.api_key_id], for_operator) for row in page.events]
        if page.older is None:
            return
        at, left = page.older, left - len(page.events)
    until = at.occurred_at.isoformat() if at else ""
    yield [(f"There is more before {until}: ask for a shorter range.",)]


class _Names(NamedTuple):
    """Cells that are the same for all requests of a key."""

    organization: str
    project: str
    api_key: str


def _names(ids: Collection[UUID]) -> dict[UUID, _Names]:
    return {
        pk: _Names(
            key.organization.slug, cell(key.project.name), cell(f"{key.name} ({note_of(key)})")
        )
        for pk, key in (_keys(ids) if ids else {}).items()
    }


def _csv_row(row: Any, names: _Names, for_operator: bool) -> tuple[object, ...]:
    """`row` has what is `_READ` of an event."""
    inside = (names.organization, row.backend, row.attempts) if for_operator else ()
    return (
        *inside,
        row.occurred_at.isoformat(timespec="milliseconds"),
        row.request_id,
        cell(row.client_request_id),
        names.project,
        names.api_key,
        row.model,
        row.endpoint,
        row.region,
        row.outcome,
        "yes" if row.streamed else "no",
        row.queued_ms,
        row.ttft_ms,
        row.duration_ms,
        row.input_tokens,
        row.cached_tokens,
        row.output_tokens,
        row.audio_seconds,
        f"{row.amount:.12f}",
        row.currency,
    )
