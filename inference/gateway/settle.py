"""From the end of a request to the stream of usage records: none lost while the process lives."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import Any, Final

import redis.asyncio
import structlog

from billing.metering import FIELD, STREAM, UsageRecord, encode
from inference.gateway.metrics import RECORDS_LOST

MAX_WAITING: Final = 200_000
BATCH: Final = 500
PATIENCE_S: Final = 0.005
"""So long a record waits for others: what a call of Valkey costs is then theirs together."""
APPEND_TIMEOUT_S: Final = 5.0
RETRY_S: Final = 0.5
FLUSH_TIMEOUT_S: Final = 5.0

log = structlog.get_logger()


def _bulk(part: bytes) -> bytes:
    """A part of a command, as Valkey reads it."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


_XADD: Final = b"*5\r\n" + b"".join(map(_bulk, (b"XADD", STREAM.encode(), b"*", FIELD)))


class UsageWriter:
    """Appends records in the order they come. Those of a few milliseconds go together.

    While Valkey is down they wait in memory, at most MAX_WAITING. A record may reach the stream
    twice when an answer of Valkey is lost; the ingest counts it once.
    """

    def __init__(self, valkey: redis.asyncio.Redis) -> None:
        self._valkey = valkey
        self._waiting: deque[bytes] = deque()
        self._wake, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()
        self._task: asyncio.Task[None] | None = None
        self._is_down = False

    @property
    def waiting(self) -> int:
        """Records that are not delivered yet."""
        return len(self._waiting)

    def put(self, record: UsageRecord) -> None:
        """Take `record`; from here on it is the writer's to deliver."""
        if len(self._waiting) >= MAX_WAITING:
            RECORDS_LOST.inc()
            log.error("usage.lost", request_id=str(record.request_id))
            return
        self._waiting.append(_XADD + _bulk(encode(record)))
        self._empty.clear()
        self._wake.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Deliver what waits, for FLUSH_TIMEOUT_S at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._empty.wait()
        if self._waiting:
            log.error("usage.lost", waiting=len(self._waiting))
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(PATIENCE_S)
            while self._waiting:
                await self._deliver(list(islice(self._waiting, BATCH)))
            self._empty.set()

    async def _deliver(self, batch: list[bytes]) -> None:
        """Append `batch`, the head of the queue, and drop it from there once it is stored."""
        try:
            await self._append(batch)
        except (redis.RedisError, OSError) as error:
            self._note_down(error)
            await asyncio.sleep(RETRY_S)
            return
        for _ in batch:
            self._waiting.popleft()
        self._is_down = False

    async def _append(self, batch: list[bytes]) -> None:
        """On a connection itself: a pipeline costs three times as much for each command."""
        pool: Any = self._valkey.connection_pool
        connection = await pool.get_connection()
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await connection.send_packed_command(b"".join(batch), check_health=False)
                for _ in batch:
                    await connection.read_response(timeout=math.inf)
        except BaseException:
            await connection.disconnect(nowait=True)  # answers to come are nobody else's
            raise
        finally:
            await pool.release(connection)

    def _note_down(self, error: Exception) -> None:
        if not self._is_down:
            log.warning("usage.waiting", error=type(error).__name__, waiting=len(self._waiting))
        self._is_down = True
