"""What makes sure that nothing is served unbilled: each request is on disk before it costs.

The order of a request: reserve, `dispatched`, ask the engine, `synced` before the first byte of a
stream, `progressed` now and then, `settled` before the last byte leaves; or `voided` where there is
nothing to bill.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import structlog

from billing.metering import UsageRecord
from inference.engines import Usage
from inference.gateway.spool.archive import Abandon, Archive, Unbooked, Void
from inference.gateway.spool.committer import Committer, Reason, SpoolClosed
from inference.gateway.spool.folder import Folder
from inference.gateway.spool.records import Dispatch, Progress, Settled, Voided, frame
from inference.gateway.spool.replay import Rate
from inference.gateway.spool.segments import Appender, Installation
from inference.gateway.spool.shipper import Deliver, Landed, Shipper

TELL_S: Final = 5.0
ROTATE_S: Final = 60.0
"""A segment takes no more after this time, so that PostgreSQL is asked for what it holds."""

log = structlog.get_logger()


class SpoolState(msgspec.Struct, frozen=True):
    """What the health page shows of one spool. `segments` are those not known to be booked,
    `waiting` the records not delivered, `oldest_s` the age of the oldest of them, `at` ISO 8601.
    `closed_by` says why nothing new is begun, null while all is well.
    """

    segments: int
    bytes: int
    waiting: int
    oldest_s: float
    closed_by: Reason | None
    at: datetime


type Tell = Callable[[str, bytes], Awaitable[object]]
"""Stores a state, JSON, under a name in Valkey for 30 s."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of time and room; see SPOOL_* in docs/settings.md."""

    keep_s: float
    max_bytes: int
    min_free_bytes: int
    slow_s: float = 0.25
    patience_s: float


class Spool:
    """Of one process, in a folder of its own below `root`.

    `name` is that of the process among all that ever were, `gateway` what it tells of itself under.
    `installation` names the database that it all goes to. `deliver`, `void`, `abandon`, `rate`,
    `unbooked` and `tell` are what it does with the world outside; all may be called again with what
    they had already. `landed` hears of what was delivered, or failed to be.
    """

    def __init__(
        self,
        root: Path,
        gateway: str,
        name: str,
        limits: Limits,
        *,
        installation: Installation,
        deliver: Deliver,
        void: Void,
        rate: Rate,
        unbooked: Unbooked,
        abandon: Abandon,
        tell: Tell,
        landed: Landed = lambda settled, is_there: None,
    ) -> None:
        self._root, self._gateway, self._limits, self._tell = root, gateway, limits, tell
        self.name = name
        self._installation = installation
        self._open: dict[UUID, int] = {}
        self._shipper = Shipper(deliver, landed)
        self._archive = Archive(
            root, self._shipper, unbooked, void, abandon, rate, self._first_open,
            installation=installation, keep_s=limits.keep_s, max_bytes=limits.max_bytes,
        )  # fmt: skip
        self._task: asyncio.Task[None] | None = None

    @property
    def closed_by(self) -> Reason | None:
        """Why no new request may begin; None when it may."""
        return self._committer.closed_by

    @property
    def waiting(self) -> int:
        """Records that are settled and not delivered."""
        return self._shipper.waiting

    @property
    def oldest_s(self) -> float:
        """For how long the oldest record waits for Valkey, or is missed in PostgreSQL."""
        return max(self._shipper.oldest_s, self._archive.oldest_s)

    async def start(self) -> None:
        """Raises OSError when there is no place to write to."""
        folder = self._folder = await asyncio.to_thread(
            Folder.create, self._root, self._gateway, self.name
        )
        self._committer = Committer(
            Appender(folder, self._gateway, installation=self._installation),
            self._archive.sealed,
            slow_s=self._limits.slow_s, min_free_bytes=self._limits.min_free_bytes,
            patience_s=self._limits.patience_s,
        )  # fmt: skip
        self._committer.start()
        self._shipper.start()
        self._archive.start(folder)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Deliver what waits, for a few seconds; the rest is for whoever lives next."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._committer.stop()
        await self._shipper.stop()
        await self._archive.stop()
        self._folder.close()

    def dispatched(self, dispatch: Dispatch) -> None:
        """Note which engine is about to be asked; the last one counts.

        Raises SpoolClosed while the disk is bad: then none may be. A request that is `voided` costs
        nothing.
        """
        if reason := self.closed_by:
            raise SpoolClosed(reason)
        self._open.setdefault(dispatch.record.request_id, self._committer.number)
        self._committer.write(frame(dispatch))

    def synced(self) -> asyncio.Future[None]:
        """Done when all that was noted is on disk. It fails with SpoolClosed.

        Begin it when the engine is asked, and await it before the client has a byte of a stream: by
        then it rarely waits. A whole answer leaves after its record, which is enough.
        """
        return self._committer.commit(b"", is_new=True)

    def progressed(self, request_id: UUID, usage: Usage, ttft_ms: int | None = None) -> None:
        """Note what the request used so far; that is what it is billed if the process dies."""
        progress = Progress(request_id, datetime.now(UTC), *usage, ttft_ms)
        self._committer.write(frame(progress))

    def settled(
        self,
        record: UsageRecord,
        actual_nano: int,
        scopes: tuple[str, ...],
        tokens: int | None = None,
    ) -> asyncio.Future[None]:
        """Done when it is on disk; then the last byte may leave. It is delivered from here on.

        It fails with SpoolClosed when the disk failed for so long that there is no use in waiting.
        """
        settled = Settled.of(record, actual_nano, scopes, tokens)
        written = self._committer.commit(frame(settled))
        written.add_done_callback(partial(self._written, settled))
        return written

    def _written(self, settled: Settled, _written: asyncio.Future[None]) -> None:
        self._open.pop(settled.request_id, None)
        self._shipper.put(settled)

    def voided(self, request_id: UUID) -> None:
        """Nothing is billed, and nothing is delivered: the caller lets go of the hold."""
        if self._open.pop(request_id, None) is not None:
            self._committer.write(frame(Voided(request_id)))

    @property
    def dead(self) -> Set[str]:
        """The names of those whose records it has taken over."""
        return self._archive.dead

    async def missing(self) -> AsyncIterator[list[Settled]]:
        """What settled until now, has a limit of money and is not booked.

        Raises what PostgreSQL does, SpoolClosed and OSError.
        """
        await self._committer.ended()
        async for missing in self._archive.missing():
            yield missing

    async def redeliver(self) -> bool:
        """Deliver all that once more; False where some of it was not. Raises as `missing`."""
        await self._committer.ended()
        return await self._archive.redeliver()

    def state(self) -> SpoolState:
        return SpoolState(
            segments=self._archive.segments + 1,
            bytes=self._archive.size + self._committer.size,
            waiting=self._shipper.waiting,
            oldest_s=round(self.oldest_s, 1),
            closed_by=self.closed_by,
            at=datetime.now(UTC),
        )

    def _first_open(self) -> float:
        return min(self._open.values(), default=float("inf"))

    async def _run(self) -> None:
        told = 0
        while True:
            told += 1
            if told % round(ROTATE_S / TELL_S) == 0:
                self._committer.rotate()
            try:
                await self._tell(f"spool:{self._gateway}", msgspec.json.encode(self.state()))
            except Exception as error:
                log.debug("spool.untold", error=type(error).__name__)
            await asyncio.sleep(TELL_S)
