"""What could not be booked: kept on a stream of its own with its reason, and tried again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import structlog

from billing.ingest.reading import Entry, Unreadable, entry_of
from billing.metering import FIELD, encode
from tenants.valkey import client

DEAD_STREAM: Final = "usage:dead"
_PAGE: Final = 1000

log = structlog.get_logger()


def set_aside(found: Iterable[tuple[Entry | Unreadable, str]]) -> None:
    """Put messages on the dead stream, each with why. Take them off their own stream after it."""
    with client().pipeline(transaction=False) as pipe:
        for message, reason in found:
            if message.stream != DEAD_STREAM:
                log.error("usage.set_aside", message=message.id.decode(), error=reason)
                pipe.xadd(DEAD_STREAM, {**_fields(message), b"error": reason})
        pipe.execute()


def dead_read(after: bytes = b"-") -> list[Entry | Unreadable]:
    """A page of what was set aside, oldest first; `after` is the last id of the page before."""
    start = after if after == b"-" else b"(" + after
    found: Any = client().xrange(DEAD_STREAM, min=start, count=_PAGE)
    return [entry_of(DEAD_STREAM, id_, fields) for id_, fields in found]


def _fields(message: Entry | Unreadable) -> dict[Any, Any]:
    if isinstance(message, Unreadable):
        return dict(message.fields)
    return {FIELD: encode(message.record)}
