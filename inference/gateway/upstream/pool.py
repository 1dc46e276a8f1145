"""The connections of a process: those in use, and those that wait for another call."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict, deque
from functools import cached_property
from typing import Final

from inference.gateway.upstream.connection import Connection
from inference.gateway.upstream.failures import Failure, Unreachable
from inference.gateway.upstream.target import target_of

KEEP_ALIVE_S: Final = 3.0
"""Less than the 5 s of vLLM's server, so that a call never meets a connection about to close."""
SWEEP_EVERY_S: Final = 0.25


class Pool:
    """Opens connections, lends each to one call at a time, and closes what was silent too long.

    One timer does for all limits: none is set for a call, let alone for a chunk.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = set[Connection]()
        self._idle = defaultdict[str, deque[Connection]](deque)
        self._is_closed, self._all_lost = False, asyncio.Event()
        self._timer = self._loop.call_later(SWEEP_EVERY_S, self._sweep)

    def __len__(self) -> int:
        return len(self._open)

    def take(self, base_url: str) -> Connection | None:
        """The idle connection that was used last."""
        idle = self._idle[base_url]
        while idle:
            connection = idle.pop()
            if not connection.is_lost:
                return connection
        return None

    async def connect(self, base_url: str, timeout_s: float) -> Connection:
        """A new connection. Raises Unreachable."""
        target, connection = target_of(base_url), Connection(self._loop, base_url, self)
        tls = self._tls if target.is_tls else None
        try:
            async with asyncio.timeout(timeout_s):
                await self._loop.create_connection(
                    lambda: connection, target.host, target.port, ssl=tls
                )
        except TimeoutError:
            raise Unreachable(Failure.CONNECT_TIMEOUT) from None
        except OSError:
            raise Unreachable(Failure.CONNECT_FAILED) from None
        if self._is_closed:
            connection.abort()
        elif not connection.is_lost:
            self._open.add(connection)
        return connection

    def abandon(self, base_url: str) -> None:
        """Fail the calls that got nothing of a body there so far."""
        for connection in tuple(self._open):
            if connection.base_url == base_url and connection.reply:
                connection.reply.give_up()

    async def close(self) -> None:
        self._is_closed = True
        self._timer.cancel()
        for connection in tuple(self._open):
            connection.fail()
        if self._open:
            await self._all_lost.wait()

    def freed(self, connection: Connection) -> None:
        if self._is_closed:
            connection.abort()
        else:
            connection.idle_since = self._loop.time()
            self._idle[connection.base_url].append(connection)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if self._is_closed and not self._open:
            self._all_lost.set()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_EVERY_S, self._sweep)
        now = self._loop.time()
        for connection in tuple(self._open):
            if connection.reply:
                connection.reply.expire(now)
        for idle in self._idle.values():
            while idle and (idle[0].is_lost or now - idle[0].idle_since > KEEP_ALIVE_S):
                idle.popleft().abort()
