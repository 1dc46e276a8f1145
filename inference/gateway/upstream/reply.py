"""An answer of an engine, as its caller reads it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from inference.gateway.upstream.connection import Connection
from inference.gateway.upstream.failures import Failure, Timeouts, Unreachable

MAX_ANSWER_BYTES: Final = 64 * 10**6
MAX_UNREAD_BYTES: Final = 2**18
END_TIMEOUT_S: Final = 1.0


class Reply:
    """An answer whose body is still to be read. `content_type` is bare, in lower case."""

    __slots__ = (
        "_connection", "_deadline", "_failure", "_first_byte_by", "_has_begun",
        "_idle_s", "_is_done", "_is_finishing", "_loop", "_parts", "_unread_bytes", "_waiter",
        "content_type", "status",
    )  # fmt: skip

    def __init__(self, connection: Connection, timeouts: Timeouts) -> None:
        self._connection: Connection | None = connection
        self._loop = connection.loop
        self._idle_s = timeouts.idle_s
        first_byte_s = timeouts.first_byte_s
        self._first_byte_by = inf if first_byte_s is None else self._loop.time() + first_byte_s
        self._deadline = inf
        self._waiter: asyncio.Future[None] | None = None
        self._parts = list[bytes]()
        self._unread_bytes = 0
        self._failure: Failure | None = None
        self._has_begun = self._is_done = self._is_finishing = False
        self.status, self.content_type = 0, ""

    async def read(self) -> bytes:
        """The whole body. Raises Unreachable."""
        parts, size = list[bytes](), 0
        while data := await self.read_some():
            parts.append(data)
            size += len(data)
            if size > MAX_ANSWER_BYTES:
                self.fail(Failure.TOO_LARGE)
                raise Unreachable(Failure.TOO_LARGE)
        return b"".join(parts)

    async def read_some(self) -> bytes:
        """What has arrived, at least one byte; nothing at the end. Raises Unreachable."""
        parts = self._parts
        while not parts:
            if self._is_done:
                return b""
            if self._failure:
                raise Unreachable(self._failure)
            await self._wait()
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread_bytes = 0
        if self._connection:
            self._connection.resume()
        return data

    async def finish(self) -> None:
        """Let a body that said it is done end in its own time, so that the connection can serve
        again; past END_TIMEOUT_S it is closed.
        """
        if self._connection:
            self._is_finishing = True
            self._parts.clear()
            self._deadline = self._loop.time() + END_TIMEOUT_S
            self._connection.resume()

    def close(self) -> None:
        """Close the connection at once: the engine stops generating.

        Nothing to do once the body is complete, or is let `finish`.
        """
        if not self._is_finishing:
            self.fail(Failure.CLOSED)

    async def begun(self) -> None:
        """Wait for the head. Raises Unreachable."""
        while not self.status:
            if self._failure:
                raise Unreachable(self._failure)
            await self._wait()

    def begin(self, status: int, content_type: str) -> None:
        self.status, self.content_type = status, content_type
        self._wake()

    def add(self, body: bytes) -> None:
        self._has_begun = True
        if self._is_finishing:
            return
        self._parts.append(body)
        self._unread_bytes += len(body)
        if self._unread_bytes > MAX_UNREAD_BYTES and self._connection:
            self._connection.pause()
        self._wake()

    def end(self) -> None:
        self._is_done, self._connection = True, None
        self._wake()

    def fail(self, failure: Failure) -> None:
        """Close the connection, if it is still this answer's. What arrived can still be read."""
        if self._connection:
            self._connection.abort()
            self._connection, self._failure = None, failure
            self._wake()

    def expire(self, now: float) -> None:
        """Fail if the engine was waited for too long."""
        if now > self._deadline:
            timeout = Failure.IDLE_TIMEOUT if self._has_begun else Failure.FIRST_BYTE_TIMEOUT
            self.fail(timeout)

    def give_up(self) -> None:
        """Fail if nothing of the body has come so far."""
        if not self._has_begun:
            self.fail(Failure.LOST)

    async def _wait(self) -> None:
        """Until there is news. Cancelled, it closes the connection."""
        self._waiter = self._loop.create_future()
        self._deadline = (
            self._loop.time() + self._idle_s if self._has_begun else self._first_byte_by
        )
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter, self._deadline = None, inf

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
