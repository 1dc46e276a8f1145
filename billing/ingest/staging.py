"""The rows of a batch on their way into the table of events: staged by COPY, entered once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import IntegrityError, connection
from django.db.backends.utils import CursorWrapper

from billing.ingest.rating import COMPONENTS, Rated, euros
from billing.models import Component
from billing.partitions import Month

_COPIED: Final = (
    "organization_id", "request_id", "project_id", "api_key_id", "model", "backend", "region",
    "endpoint", "streamed", "outcome", "admitted_at", "occurred_at", "ttft_ms", "duration_ms",
    "input_tokens", "cached_tokens", "output_tokens", "client_request_id", "audio_seconds",
    "queued_ms", "attempts", "amount", "batch_id", "currency", "book_id",
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
_LATE: Final = "UPDATE stage SET billed_in = %s"
_STRANGERS: Final = """
SELECT organization_id, project_id, api_key_id FROM stage
EXCEPT SELECT organization_id, project_id, id
FROM tenants_apikey WHERE id IN (SELECT api_key_id FROM stage)
LIMIT 1
"""
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
_INSERT: Final = f"""
INSERT INTO billing_usageevent ({_COLUMNS}, billed_in) SELECT {_COLUMNS}, billed_in FROM stage
"""  # noqa: S608 - names of this module
_COSTS: Final = f"""
SELECT organization_id, {", ".join(f"sum({name})" for name in _PICOS)}
FROM stage WHERE amount > 0 GROUP BY 1
"""  # noqa: S608 - names of this module


def stage(
    cursor: CursorWrapper, rows: Iterable[Rated], batch_id: UUID, billed_in: Month | None = None
) -> None:
    """Put `rows`, no two of one request, into the temporary table `stage`.

    They are late, and on the invoice of the month `billed_in`, if that is told.

    Raises DataError for what PostgreSQL cannot keep (Django does not by itself make the refusal of
    a copy its own), IntegrityError for a key with a project or an organization not its own.
    """
    cursor.execute(_STAGE)
    text = "".join([_line(row, batch_id.hex) for row in rows])
    with connection.wrap_database_errors, cursor.copy(_COPY) as copy:
        copy.write(text)
    if billed_in is not None:
        cursor.execute(_LATE, [billed_in.start])
    cursor.execute(_STRANGERS)
    if stranger := cursor.fetchone():
        organization, project, key = stranger
        raise IntegrityError(f"no key {key} of project {project} of organization {organization}")


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
    """By organization, in its currency, and by component: the cost of what is left in `stage`."""
    cursor.execute(_COSTS)
    return {
        organization_id: {
            component: euros(int(sum_)) for component, sum_ in zip(COMPONENTS, sums, strict=True)
        }
        for organization_id, *sums in cursor.fetchall()
    }


def _line(row: Rated, batch: str) -> str:
    """A row as COPY reads it: what UsageRecord has, the amount, and its parts."""
    r, (fresh, cached, output, audio), book, currency = row
    texts = [r.model, r.backend, r.region, r.endpoint, r.outcome, r.client_request_id]
    if _SPECIAL.search("".join(texts)):
        texts = [_SPECIAL.sub(_escape, text) for text in texts]
    model, backend, region, endpoint, outcome, client = texts
    ttft = r"\N" if r.ttft_ms is None else r.ttft_ms
    return (
        f"{r.organization_id.int:032x}\t{r.request_id.int:032x}\t{r.project_id.int:032x}\t"
        f"{r.api_key_id.int:032x}\t{model}\t{backend}\t{region}\t{endpoint}\t{r.streamed}\t"
        f"{outcome}\t{r.admitted_at}\t{r.occurred_at}\t{ttft}\t{r.duration_ms}\t"
        f"{r.input_tokens}\t{r.cached_tokens}\t{r.output_tokens}\t{client}\t"
        f"{r.audio_seconds}\t{r.queued_ms}\t{r.attempts}\t"
        f"{fresh + cached + output + audio}e-12\t{batch}\t{currency}\t{book.int:032x}\t"
        f"{fresh}\t{cached}\t{output}\t{audio}\n"
    )


def _escape(found: re.Match[str]) -> str:
    return _ESCAPED[found[0]]
