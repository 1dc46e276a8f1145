"""A connection to Valkey of its own: all commands of one turn of the event loop in one write."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Self, override

import hiredis
import redis.asyncio

from billing.holds.asks import HoldInvalid, StoreAway

TICK_S: Final = 0.2
PATIENCE: Final = 4
"""So many ticks without any answer are a dead connection. Ticks, not seconds: when the process
itself was stopped, answers wait in the socket, and it reads them before the next tick."""

_INCOMPLETE: Final = object()


class NoScript(Exception):  # noqa: N818
    """Valkey does not know the script that was named."""


def bulk(part: bytes) -> bytes:
    """A part of a command, as Valkey reads it."""
    return b"$%d\r\n%b\r\n" % (len(part), part)


class Wire(asyncio.Protocol):
    """Answers come in the order of the commands. Lost, it fails all that wait, and stays lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        self._loop = loop
        self._connection = connection  # kept: it would close the transport when collected
        self._transport: asyncio.Transport = connection._writer.transport
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._out: list[bytes] = []
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._quiet_ticks = 0
        self._tick: asyncio.TimerHandle = loop.call_later(TICK_S, self._watch)
        self.lost: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def open(cls, valkey: redis.asyncio.Redis, *prelude: tuple[str, ...]) -> tuple[Self, Any]:
        """Connected as `valkey` would be, and the answer to the last command of `prelude`."""
        pool: Any = valkey.connection_pool
        connection = pool.make_connection()
        answer = None
        try:
            await connection.connect()
            for command in prelude:
                await connection.send_command(*command)
                answer = await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        wire = cls(asyncio.get_running_loop(), connection)
        wire._transport.set_protocol(wire)
        return wire, answer

    def send(self, command: bytes) -> asyncio.Future[Any]:
        """The answer to come of `command`, which is packed already."""
        if self.lost.done():
            raise StoreAway("the connection to Valkey is lost")
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        answer = self._loop.create_future()
        self._waiting.append(answer)
        return answer

    async def close(self) -> None:
        self._transport.abort()
        self.connection_lost(None)
        await self._connection.disconnect(nowait=True)

    def _flush(self) -> None:
        if not self.lost.done():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    @override
    def data_received(self, data: bytes) -> None:
        self._quiet_ticks = 0
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        while (answer := reader.gets()) is not _INCOMPLETE:
            if type(answer) is hiredis.PushNotification:
                continue
            future = waiting.popleft()
            if future.done():
                continue
            if isinstance(answer, hiredis.ReplyError):
                future.set_exception(_error(answer))
                if str(answer).startswith("READONLY"):
                    self._transport.abort()  # the primary is another one now
            else:
                future.set_result(answer)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost.done():
            return
        self.lost.set_result(None)
        self._tick.cancel()
        for future in self._waiting:
            if not future.done():
                future.set_exception(StoreAway("the connection to Valkey is lost"))
        self._waiting.clear()

    def _watch(self) -> None:
        self._quiet_ticks = self._quiet_ticks + 1 if self._waiting else 0
        if self._quiet_ticks > PATIENCE:
            self._transport.abort()
            self.connection_lost(None)
            return
        self._tick = self._loop.call_later(TICK_S, self._watch)


def _error(answer: Any) -> Exception:
    text = str(answer)
    if text.startswith("NOSCRIPT"):
        return NoScript(text)
    if text.startswith("INVALID"):
        return HoldInvalid(text.removeprefix("INVALID "))
    return StoreAway(text)
