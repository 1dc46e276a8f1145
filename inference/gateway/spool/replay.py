"""What a process left behind when it died, read from its segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Final
from uuid import UUID

import msgspec
import structlog

from billing.metering import UsageRecord
from inference.gateway.spool.records import (
    ALL,
    SETTLED,
    VERSION,
    Dispatch,
    Header,
    Progress,
    Record,
    Settled,
    Voided,
    frames_read,
)

HEAD_BYTES: Final = 4096
"""A header is shorter."""
SLICE: Final = 64
BREATH_S: Final = 0.0005
"""After each SLICE of records, so that the loop of the process is not kept from its requests."""

type Rate = Callable[[UsageRecord], int]
"""What a record costs, in nano. Raises LookupError where no price is known."""

log = structlog.get_logger()


@dataclass
class Unfinished:
    """A request whose end nobody wrote down: `progress` is the last that is known of it."""

    dispatch: Dispatch
    segment: Path
    progress: Progress | None = None

    def settled(self, rate: Rate) -> Settled | None:
        """What it is billed: what it was seen to use. None where nothing was seen: it is void."""
        if self.progress is None:
            return None
        record = _with(self.dispatch.record, self.progress)
        nano: int | None
        try:
            nano = rate(record)
        except LookupError:  # all that was held is taken until PostgreSQL has a price for it
            nano = None
        billed = msgspec.structs.replace(record, amount_nano=nano)
        actual_nano = self.dispatch.bound_nano if nano is None else nano
        return Settled.of(billed, actual_nano, self.dispatch.scopes)


def records_read(path: Path, kinds: bytes = ALL) -> Iterator[Record]:
    """The records of a segment up to its end, or to what is damaged of it. Blocks, in slices."""
    data = path.read_bytes()
    read = 0
    for count, (end, record) in enumerate(frames_read(data, kinds)):
        if count == 0 and not _is_known(record):
            break
        if count % SLICE == SLICE - 1:
            sleep(BREATH_S)
        read = end
        if record:
            yield record
    if data.rstrip(b"\0")[read:]:
        log.warning("spool.torn", segment=str(path), read=read, unread=len(data) - read)


def installation_of(segments: Iterable[Path]) -> UUID | None:
    """Whose records they are; None where no segment says."""
    for path in segments:
        with path.open("rb") as file:
            _end, header = next(frames_read(file.read(HEAD_BYTES)), (0, None))
        if isinstance(header, Header) and header.installation:
            return header.installation
    return None


def settled_read(path: Path) -> list[Settled]:
    return [record for record in records_read(path, SETTLED) if isinstance(record, Settled)]


def unfinished(segments: Iterable[Path]) -> dict[UUID, Unfinished]:
    """The requests that ended in none of `segments`, oldest first."""
    found: dict[UUID, Unfinished] = {}
    for path in segments:
        for record in records_read(path):
            _note(found, record, path)
    return found


def _note(found: dict[UUID, Unfinished], record: Record, path: Path) -> None:
    match record:
        case Dispatch(record=template):
            found[template.request_id] = Unfinished(record, path)
        case Progress(request_id=request_id) if request_id in found:
            found[request_id].progress = record
        case Settled(request_id=request_id) | Voided(request_id=request_id):
            found.pop(request_id, None)


def _with(record: UsageRecord, progress: Progress) -> UsageRecord:
    duration = progress.at - record.admitted_at
    return msgspec.structs.replace(
        record,
        occurred_at=progress.at,
        ttft_ms=progress.ttft_ms,
        duration_ms=max(0, round(duration.total_seconds() * 1000)),
        input_tokens=progress.input_tokens,
        cached_tokens=progress.cached_tokens,
        output_tokens=progress.output_tokens,
        audio_seconds=progress.audio_seconds,
    )


def _is_known(record: Record | None) -> bool:
    return isinstance(record, Header) and record.version == VERSION
