"""The request log as people read it: with the names of keys, regions and organizations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

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
    "cached_tokens", "output_tokens", "audio_seconds", "amount_eur",
)  # fmt: skip
OPERATOR_COLUMNS: Final = ("organization", "backend", "attempts")


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
        """What tells it from another key of the same name."""
        is_playground = self.key.kind == KeyKind.PLAYGROUND
        return self.key.project.name if is_playground else self.key.hint


def rows_of(events: Sequence[UsageEvent]) -> list[LogRow]:
    """Two queries, however many events."""
    found = ApiKey.objects.select_related("project", "organization")
    keys = found.in_bulk({event.api_key_id for event in events})
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


def places_of(events: Sequence[UsageEvent]) -> int:
    """How many decimals show the smallest amount of a page."""
    return money_places(min((event.amount for event in events if event.amount), default=Decimal(0)))


def csv_pieces(log: RequestLog, asked: Asked, *, for_operator: bool = False) -> Iterator[Rows]:
    """The requests that match, newest first, at most `CSV_ROWS`; a last line tells of more."""
    yield [(*(OPERATOR_COLUMNS if for_operator else ()), *COLUMNS)]
    at: Place | None = None
    left = CSV_ROWS
    while left > 0:
        page = log.page(asked, at, size=min(left, CSV_PIECE))
        yield [_csv_row(row, for_operator=for_operator) for row in rows_of(page.events)]
        if page.older is None:
            return
        at, left = page.older, left - len(page.events)
    until = at.occurred_at.isoformat() if at else ""
    yield [(f"There is more before {until}: ask for a shorter range.",)]


def _csv_row(row: LogRow, *, for_operator: bool) -> list[object]:
    event = row.event
    inside = [row.organization.slug, event.backend, event.attempts] if for_operator else []
    return [
        *inside,
        event.occurred_at.isoformat(timespec="milliseconds"),
        event.request_id,
        cell(event.client_request_id),
        cell(row.key.project.name),
        cell(f"{row.key.name} ({row.key_note})"),
        event.model,
        event.endpoint,
        event.region,
        event.outcome,
        "yes" if event.streamed else "no",
        event.queued_ms,
        event.ttft_ms,
        event.duration_ms,
        event.input_tokens,
        event.cached_tokens,
        event.output_tokens,
        event.audio_seconds,
        f"{event.amount:.12f}",
    ]
