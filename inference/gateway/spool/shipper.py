"""From the spool to Valkey: at once, and where that fails again and again until it succeeds.

The disk has all that is here. So what is too much for memory is forgotten, and comes back when
`archive.py` finds that PostgreSQL does not have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

import structlog

from inference.gateway.spool.records import Settled

BATCH: Final = 500
MAX_WAITING: Final = 20_000
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Between the tries of what failed; the last for ever."""
FLUSH_S: Final = 5.0

type Deliver = Callable[[Settled], Awaitable[object]]
"""Settles in Valkey, where it changes nothing the second time. Raises when Valkey is away."""
type Landed = Callable[[Settled, bool], None]
"""Hears of each record, after its first try, whether Valkey has it."""

log = structlog.get_logger()


class _Waiting(NamedTuple):
    settled: Settled
    since: float


class Shipper:
    """Delivers what it is given, in about that order, and never raises."""

    def __init__(self, deliver: Deliver, landed: Landed = lambda settled, is_there: None) -> None:
        self._deliver, self._heard = deliver, landed
        self._failed: deque[_Waiting] = deque()
        self._flying: set[asyncio.Future[object]] = set()
        self._wake, self._drained = asyncio.Event(), asyncio.Event()
        self._drained.set()
        self._tries = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Records that wait for Valkey in memory."""
        return len(self._failed)

    @property
    def oldest_s(self) -> float:
        """For how long the oldest of them waits."""
        return monotonic() - self._failed[0].since if self._failed else 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Deliver what waits, for FLUSH_S at most; the next process has the rest on disk."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while self._flying:
                    await asyncio.wait(self._flying)
                await self._drained.wait()
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def put(self, settled: Settled) -> None:
        """Deliver it: its hold is let go before the client can ask again."""
        if self._failed:
            self._heard(settled, False)
            self._keep(settled)
            return
        flying = asyncio.ensure_future(self._deliver(settled))
        self._flying.add(flying)
        flying.add_done_callback(partial(self._landed, settled))

    async def ship(self, batch: Sequence[Settled]) -> bool:
        """Deliver `batch` from disk; False when Valkey is away, then some of it was not."""
        async for errors, count in self._tries_of(batch):
            if errors == count:
                return False
        return True

    async def ship_all(self, batch: Sequence[Settled]) -> bool:
        """`ship`, but False when any of it was not."""
        async for errors, _ in self._tries_of(batch):
            if errors:
                return False
        return True

    async def _tries_of(self, batch: Sequence[Settled]) -> AsyncIterator[tuple[int, int]]:
        """By the part of a batch how many failed, and of how many."""
        for start in range(0, len(batch), BATCH):
            calls = list(map(self._deliver, batch[start : start + BATCH]))
            answers = await asyncio.gather(*calls, return_exceptions=True)
            yield sum(isinstance(answer, BaseException) for answer in answers), len(answers)

    def _landed(self, settled: Settled, flying: asyncio.Future[object]) -> None:
        self._flying.discard(flying)
        is_there = not (flying.cancelled() or flying.exception())
        self._heard(settled, is_there)
        if not is_there:
            self._keep(settled)

    def _keep(self, settled: Settled) -> None:
        if len(self._failed) < MAX_WAITING:
            self._failed.append(_Waiting(settled, monotonic()))
            self._drained.clear()
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._failed:
                await asyncio.sleep(RETRY_S[min(self._tries, len(RETRY_S) - 1)])
                await self._retry()
            self._drained.set()

    async def _retry(self) -> None:
        """Try the oldest. Where some fail and others do not, those that fail are left to the
        archive: the fault is theirs, and they must not hold up the rest.
        """
        batch = [self._failed.popleft() for _ in range(min(BATCH, len(self._failed)))]
        calls = (self._deliver(waiting.settled) for waiting in batch)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        if errors and not self._tries:
            log.warning("spool.waiting", error=type(errors[0]).__name__, waiting=self.waiting)
        self._tries = self._tries + 1 if errors else 0
        if len(errors) == len(batch):
            self._failed.extendleft(reversed(batch))
