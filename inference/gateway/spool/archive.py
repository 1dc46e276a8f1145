"""Ended segments: kept until PostgreSQL has all of theirs, and a while longer.

Those of processes that died are read first: what they settled is delivered once more, what they
left open is settled by what is known of it, or void.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from inference.gateway.spool.folder import BOOKED, OPEN, Folder, folders
from inference.gateway.spool.records import Settled
from inference.gateway.spool.replay import (
    Rate,
    Unfinished,
    installation_of,
    settled_read,
    unfinished,
)
from inference.gateway.spool.segments import Installation
from inference.gateway.spool.shipper import Shipper

PERIOD_S: Final = 1.0
ADOPT_S: Final = 10.0
FIRST_LOOK_S: Final = 10.0
LATE_S: Final = 60.0
"""What PostgreSQL does not have so long after its segment was ended is delivered again."""
PRUNE_S: Final = 60.0
MAX_PAUSE_S: Final = 3600.0
AWAY_S: Final = 5.0
"""A store that does not answer is left alone for so long."""
CHUNK: Final = 250
"""Ids are put into a query at a stretch: of so many the loop of the process feels nothing."""

type Id = tuple[UUID, UUID]
"""Organization and request."""
type Unbooked = Callable[[Sequence[Id]], Collection[Id]]
"""Those of some requests that PostgreSQL does not have. Blocks, and raises when it is away."""
type Abandon = Callable[[str], Awaitable[object]]
"""Lets go of all holds that a process still has. Raises when Valkey is away."""
type Void = Callable[[UUID, UUID], Awaitable[object]]
"""Lets go of a hold (request, organization). Raises when Valkey is away."""

log = structlog.get_logger()


@dataclass
class Sealed:
    """An ended segment. `extra` is what its process never wrote; it `is_left` until delivered."""

    path: Path
    size: int
    extra: list[Settled] = field(default_factory=list)
    is_left: bool = False
    sealed_at: float = field(default_factory=monotonic)
    due_at: float = 0.0
    unbooked: int = 0


class Kept(NamedTuple):
    """A segment that PostgreSQL has; `written_at` since 1970."""

    path: Path
    size: int
    written_at: float


class Archive:
    """Of one process: its own segments, and those of the dead it found in `root`.

    `first_open` is the number of the oldest own segment that holds a request still running,
    `installation` the database that is asked and delivered to.
    """

    def __init__(
        self,
        root: Path,
        shipper: Shipper,
        unbooked: Unbooked,
        void: Void,
        abandon: Abandon,
        rate: Rate,
        first_open: Callable[[], float] = lambda: math.inf,
        *,
        installation: Installation,
        keep_s: float,
        max_bytes: int,
    ) -> None:
        self._root, self._shipper = root, shipper
        self._unbooked, self._void, self._rate = unbooked, void, rate
        self._abandon = abandon
        self._first_open, self._installation = first_open, installation
        self._keep_s, self._max_bytes = keep_s, max_bytes
        self._own: Folder | None = None
        self._adopted: list[Folder] = []
        self._foreign: set[Path] = set()
        self._dead: set[str] = set()
        self._sealed: list[Sealed] = []
        self._kept: list[Kept] = []
        self._voids: list[Id] = []
        self._gone: list[str] = []
        self._adopt_at = self._ask_at = self._ship_at = self._prune_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def segments(self) -> int:
        """Ended ones that PostgreSQL does not have for certain."""
        return len(self._sealed)

    @property
    def size(self) -> int:
        """Bytes on disk, those that are only kept included."""
        return sum(s.size for s in self._sealed) + sum(k.size for k in self._kept)

    @property
    def oldest_s(self) -> float:
        """For how long PostgreSQL lacks the oldest record that it was found to lack."""
        ages = [monotonic() - sealed.sealed_at for sealed in self._sealed if sealed.unbooked]
        return max(ages, default=0.0)

    @property
    def dead(self) -> Set[str]:
        """The folders whose records it has taken over."""
        return self._dead

    def start(self, own: Folder) -> None:
        self._own = own
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave everything where it is: whoever lives next takes it over."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for folder in self._adopted:
            folder.close()

    def sealed(self, path: Path) -> None:
        """Take over a segment of this process that was ended."""
        due_at = monotonic() + FIRST_LOOK_S
        self._sealed.append(Sealed(path, path.stat().st_size, due_at=due_at))

    async def adopt(self) -> None:
        """Take over what the dead of this installation left, once it is known which that is."""
        installation = self._installation()
        held = {folder.path for folder in (self._own, *self._adopted) if folder} | self._foreign
        for path in folders(self._root) if installation else ():
            if path not in held and (folder := Folder.adopt(path)):
                try:
                    if await self._is_ours(folder, installation):
                        await self._take_over(folder)
                except BaseException as error:
                    folder.close()
                    if not isinstance(error, Exception):
                        raise
                    log.exception("spool.not_adopted", folder=path.name)

    async def look(self) -> None:
        """Deliver what was left, and ask PostgreSQL for what is due."""
        await self._void_left()
        for sealed in [s for s in self._sealed if s.due_at <= monotonic()]:
            if not sealed.is_left and self._ask_at <= monotonic():
                await self._ask(sealed)
            elif sealed.is_left and self._ship_at <= monotonic():
                await self._deliver(sealed)
        await self._abandon_gone()

    async def _run(self) -> None:
        while True:
            try:
                if self._adopt_at <= monotonic():
                    self._adopt_at = monotonic() + ADOPT_S
                    await self.adopt()
                await self.look()
                if self._prune_at <= monotonic():
                    self._prune_at = monotonic() + PRUNE_S
                    await self.prune()
            except Exception:  # what is on disk must be looked after
                log.exception("spool.archive_failed")
            await asyncio.sleep(PERIOD_S)

    async def _is_ours(self, folder: Folder, installation: UUID | None) -> bool:
        """What goes to another database is left to its gateways."""
        segments = [*folder.segments(OPEN), *folder.segments(BOOKED)]
        owner = await asyncio.to_thread(installation_of, segments)
        if owner in {None, installation}:
            return True
        folder.close()
        self._foreign.add(folder.path)
        log.warning("spool.foreign", folder=folder.path.name, installation=str(owner))
        return False

    async def _take_over(self, folder: Folder) -> None:
        left = await asyncio.to_thread(_left_in, folder)
        extra: dict[Path, list[Settled]] = {path: [] for path in left.segments}
        for request in left.unfinished:
            self._end(request, extra[request.segment])
        self._adopted.append(folder)
        for path, size in left.segments.items():
            self._sealed.append(Sealed(path, size, extra[path], is_left=True))
        self._kept += left.kept
        self._dead.add(folder.path.name)
        self._gone.append(folder.path.name)
        if left.segments:
            log.warning("spool.adopted", folder=folder.path.name, unfinished=len(left.unfinished))

    def _end(self, request: Unfinished, extra: list[Settled]) -> None:
        settled, record = request.settled(self._rate), request.dispatch.record
        if settled:
            extra.append(settled)
        else:
            self._voids.append((record.organization_id, record.request_id))

    async def _void_left(self) -> None:
        while self._voids:
            organization_id, request_id = self._voids[-1]
            try:
                await self._void(request_id, organization_id)
            except Exception as error:
                log.warning("spool.void_waits", error=type(error).__name__)
                return
            self._voids.pop()

    async def _abandon_gone(self) -> None:
        """All that the dead knew is told: what they hold still, they had not begun."""
        if self._voids or any(sealed.is_left for sealed in self._sealed):
            return
        while self._gone:
            try:
                await self._abandon(self._gone[-1])
            except Exception as error:
                log.warning("spool.abandon_waits", error=type(error).__name__)
                return
            self._gone.pop()

    async def _deliver(self, sealed: Sealed) -> None:
        """What a dead process settled may have reached nobody."""
        sealed.is_left = not await self._shipper.ship(await self._read(sealed))
        if sealed.is_left:
            self._ship_at = monotonic() + AWAY_S
        else:
            sealed.due_at = monotonic() + FIRST_LOOK_S

    async def _ask(self, sealed: Sealed) -> None:
        settled = await self._read(sealed)
        try:
            missing = await asyncio.to_thread(self._missing, settled)
        except Exception as error:
            log.warning("spool.unconfirmed", error=type(error).__name__)
            self._ask_at = monotonic() + AWAY_S
            return
        sealed.unbooked, age_s = len(missing), monotonic() - sealed.sealed_at
        if missing and age_s >= LATE_S:
            log.warning("spool.delivered_again", segment=sealed.path.name, records=len(missing))
            await self._shipper.ship(missing)
        if missing or self._is_open(sealed.path):
            sealed.due_at = monotonic() + min(max(FIRST_LOOK_S, age_s), MAX_PAUSE_S)
        else:
            self._book(sealed)

    async def missing(self) -> AsyncIterator[list[Settled]]:
        """By ended segment what has a limit of money and is not booked. Raises as PostgreSQL."""
        for sealed in list(self._sealed):
            try:
                settled = [one for one in await self._read(sealed) if one.scopes]
            except FileNotFoundError:
                if sealed in self._sealed:
                    raise
                continue  # it was booked meanwhile
            yield await asyncio.to_thread(self._missing, settled)

    async def redeliver(self) -> bool:
        """Deliver all that once more; False where some of it was not."""
        async for missing in self.missing():
            if not await self._shipper.ship_all(missing):
                return False
        return True

    async def _read(self, sealed: Sealed) -> list[Settled]:
        return await asyncio.to_thread(settled_read, sealed.path) + sealed.extra

    def _missing(self, settled: Sequence[Settled]) -> list[Settled]:
        missing: list[Settled] = []
        for start in range(0, len(settled), CHUNK):
            part = {(s.organization_id, s.request_id): s for s in settled[start : start + CHUNK]}
            missing += (part[id_] for id_ in self._unbooked(list(part)))
        return missing

    def _is_open(self, path: Path) -> bool:
        """Whether a request that still runs needs what was written of its start."""
        is_own = self._own is not None and path.parent == self._own.path
        return is_own and int(path.stem) >= self._first_open()

    def _book(self, sealed: Sealed) -> None:
        self._sealed.remove(sealed)
        self._kept.append(_kept(sealed.path.rename(sealed.path.with_suffix(BOOKED))))

    async def prune(self) -> None:
        """Delete what is old, and folders of the dead that hold nothing any more."""
        old = list(self._too_old())
        gone = set(old)
        self._kept = [kept for kept in self._kept if kept not in gone]
        await asyncio.to_thread(_delete, [kept.path for kept in old])
        full = {path.parent for path in self._paths()}
        for folder in [folder for folder in self._adopted if folder.path not in full]:
            self._adopted.remove(folder)
            folder.remove()

    def _paths(self) -> Iterator[Path]:
        yield from (sealed.path for sealed in self._sealed)
        yield from (kept.path for kept in self._kept)

    def _too_old(self) -> Iterator[Kept]:
        """Those past their time, and the oldest of too many."""
        size, oldest = 0, time() - self._keep_s
        for kept in sorted(self._kept, key=lambda kept: kept.written_at, reverse=True):
            size += kept.size
            if size > self._max_bytes or kept.written_at < oldest:
                yield kept


class _Left(NamedTuple):
    """What stands in the folder of a dead process; segments with their sizes."""

    segments: dict[Path, int]
    kept: list[Kept]
    unfinished: list[Unfinished]


def _left_in(folder: Folder) -> _Left:
    segments = {path: path.stat().st_size for path in folder.segments(OPEN)}
    kept = [_kept(path) for path in folder.segments(BOOKED)]
    return _Left(segments, kept, list(unfinished(segments).values()))


def _kept(path: Path) -> Kept:
    found = path.stat()
    return Kept(path, found.st_size, found.st_mtime)


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
