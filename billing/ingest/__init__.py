"""The one way from the streams of usage into PostgreSQL.

A batch is one transaction: an event enters once by (organization, request id), and all else (sums,
budgets, alerts, the books) is computed from the rows that really entered. A batch that is delivered
twice therefore changes nothing. What cannot be booked is set aside, never dropped, and a model that
was used without a price is halted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from django.db import DataError, IntegrityError

from billing.halts import halted_read, models_halt
from billing.holds import GROUP
from billing.ingest.booking import book
from billing.ingest.dead import DEAD_STREAM, dead_read, set_aside
from billing.ingest.posting import finish
from billing.ingest.rating import Rated, Tariffs, Unpriced, rate
from billing.ingest.reading import Entry, Unreadable, read
from billing.ledger import BooksError
from billing.metering import STREAMS
from tenants.valkey import client

__all__ = ["BATCH", "DEAD_STREAM", "GROUP", "LANES", "dead_retry", "ingest"]

BATCH: Final = 5000
LANES: Final = (STREAMS[::2], STREAMS[1::2])
"""Halves that two workers can book at the same time; an organization's holds are in one of them."""
_REFUSED: Final = (DataError, IntegrityError, BooksError, ValueError)


class Priced(NamedTuple):
    entry: Entry
    row: Rated


def ingest(limit: int = BATCH, streams: Sequence[str] = STREAMS) -> int:
    """Book about `limit` waiting messages and return how many were taken off `streams`."""
    messages = read(limit, streams)
    _book_or_set_aside(messages)
    finish(messages)
    return len(messages)


def dead_retry() -> int:
    """Book what was set aside and can be booked now; how many that were.

    What waits for the price of a halted model goes on waiting.
    """
    booked, last = 0, b"-"
    halted = halted_read()
    while page := dead_read(last):
        last = page[-1].id
        found = [one for one in page if isinstance(one, Entry) and one.record.model not in halted]
        refused = {one.id for one in _book_or_set_aside(found)}
        if ids := [one.id for one in found if one.id not in refused]:
            client().xdel(DEAD_STREAM, *ids)
        booked += len(ids)
    return booked


def _book_or_set_aside(messages: Iterable[Entry | Unreadable]) -> list[Entry | Unreadable]:
    """Book what can be booked, and set the others aside: these are returned."""
    priced, refused = _rate(messages)
    refused += _book(priced)
    if refused:
        set_aside(refused)
    return [message for message, _ in refused]


def _rate(
    messages: Iterable[Entry | Unreadable],
) -> tuple[list[Priced], list[tuple[Entry | Unreadable, str]]]:
    """Those with a price, and the others with why not; their models are halted."""
    entries = [one for one in messages if isinstance(one, Entry)]
    refused: list[tuple[Entry | Unreadable, str]] = [
        (one, one.error) for one in messages if isinstance(one, Unreadable)
    ]
    if not entries:
        return [], refused
    tariffs = Tariffs.load([entry.record for entry in entries])
    priced, reasons = list[Priced](), dict[str, str]()
    for entry in entries:
        try:
            priced.append(Priced(entry, rate(entry.record, tariffs)))
        except Unpriced as error:
            reasons[error.model] = str(error)
            refused.append((entry, str(error)))
        except ValueError as error:
            refused.append((entry, str(error)))
    models_halt(reasons)
    return priced, refused


def _book(priced: Sequence[Priced]) -> list[tuple[Entry | Unreadable, str]]:
    """Book the batch; one that PostgreSQL refuses is halved until the culprit stands alone."""
    if not priced:
        return []
    try:
        book(_rows(priced))
    except _REFUSED as error:
        if len(priced) == 1:
            return [(priced[0].entry, str(error))]
        middle = len(priced) // 2
        return _book(priced[:middle]) + _book(priced[middle:])
    return []


def _rows(priced: Iterable[Priced]) -> list[Rated]:
    """The first record of each request."""
    rows = dict[tuple[int, int], Rated]()
    for _, row in priced:
        record = row.record
        rows.setdefault((record.organization_id.int, record.request_id.int), row)
    return list(rows.values())
