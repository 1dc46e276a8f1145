"""The rows of a batch on their way into the table of events: staged by COPY, entered once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.backends.utils import CursorWrapper

from billing.ingest.rating import COMPONENTS, Rated, euros
from billing.models import Component

_COPIED: Final = (
    "organization_id", "request_id", "project_id", "api_key_id", "model", "backend", "region",
    "endpoint", "streamed", "outcome", "admitted_at", "occurred_at", "ttft_ms", "duration_ms",
    "input_tokens", "cached_tokens", "output_tokens", "client_request_id", "audio_seconds",
    "queued_ms", "attempts", "amount", "batch_id", "currency",
)  # fmt: skip
_COLUMNS: Final = ", ".join(_COPIED)
_PICOS: Final = tuple(f"{component}_picos" for component in COMPONENTS)
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPED: Final = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}

_STAGE: Final = f"""
CREATE TEMP TABLE IF NOT EXISTS stage (
    LIKE billing_usageevent, {", ".join(f"{name} bigint NOT NULL" for name in _PICOS)}
) ON COMMIT DELETE ROWS;
TRUNCATE stage
"""
_COPY: Final = f"COPY stage ({_COLUMNS}, {', '.join(_PICOS)}) FROM STDIN"
_ENTER: Final = """
WITH entered AS (
    INSERT INTO billing_usageeventid (organization_id, request_id)
    SELECT organization_id, request_id FROM stage
    ON CONFLICT DO NOTHING
    RETURNING organization_id, request_id
)
DELETE FROM stage WHERE NOT EXISTS (
    SELECT FROM entered WHERE entered.organization_id = stage.organization_id
        AND entered.request_id = stage.request_id
)
"""
_INSERT: Final = f"INSERT INTO billing_usageevent ({_COLUMNS}) SELECT {_COLUMNS} FROM stage"  # noqa: S608 - names of this module
_COSTS: Final = f"""
SELECT organization_id, {", ".join(f"sum({name})" for name in _PICOS)}
FROM stage WHERE amount > 0 GROUP BY 1
"""  # noqa: S608 - names of this module


def stage(cursor: CursorWrapper, rows: Iterable[Rated], batch_id: UUID) -> None:
    """Put `rows`, no two of one request, into the temporary table `stage`."""
    cursor.execute(_STAGE)
    text = "".join([_line(row, batch_id.hex) for row in rows])
    with cursor.copy(_COPY) as copy:
        copy.write(text)


def enter(cursor: CursorWrapper) -> int:
    """Make events of what is staged and has none yet; only that is left in `stage`.

    How many fell out is returned.
    """
    cursor.execute(_ENTER)
    known: int = cursor.rowcount
    cursor.execute(_INSERT)
    return known


def entered_read(cursor: CursorWrapper) -> set[tuple[UUID, UUID]]:
    """Organization and request of what is left in `stage`."""
    cursor.execute("SELECT organization_id, request_id FROM stage")
    return set(cursor.fetchall())


def costs_read(cursor: CursorWrapper) -> dict[UUID, dict[Component, Decimal]]:
    """EUR by organization and component of what is left in `stage`."""
    cursor.execute(_COSTS)
    return {
        organization_id: {
            component: euros(int(sum_)) for component, sum_ in zip(COMPONENTS, sums, strict=True)
        }
        for organization_id, *sums in cursor.fetchall()
    }


def _line(row: Rated, batch: str) -> str:
    """A row as COPY reads it: what UsageRecord has, the amount, and its parts."""
    r, picos = row
    ttft = r"\N" if r.ttft_ms is None else r.ttft_ms
    parts: Sequence[int] = picos
    return (
        f"{r.organization_id.int:032x}\t{r.request_id.int:032x}\t{r.project_id.int:032x}\t"
        f"{r.api_key_id.int:032x}\t{_text(r.model)}\t{_text(r.backend)}\t{_text(r.region)}\t"
        f"{_text(r.endpoint)}\t{r.streamed}\t{_text(r.outcome)}\t{r.admitted_at}\t"
        f"{r.occurred_at}\t{ttft}\t{r.duration_ms}\t{r.input_tokens}\t{r.cached_tokens}\t"
        f"{r.output_tokens}\t{_text(r.client_request_id)}\t{r.audio_seconds}\t{r.queued_ms}\t"
        f"{r.attempts}\t{sum(picos)}e-12\t{batch}\tEUR\t"
        f"{parts[0]}\t{parts[1]}\t{parts[2]}\t{parts[3]}\n"
    )


def _text(value: str) -> str:
    return _SPECIAL.sub(_escape, value) if _SPECIAL.search(value) else value


def _escape(found: re.Match[str]) -> str:
    return _ESCAPED[found[0]]
