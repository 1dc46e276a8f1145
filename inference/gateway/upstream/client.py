"""Calls of the engines, over pooled connections."""

from __future__ import annotations

from inference.gateway.endpoint import Question
from inference.gateway.upstream.connection import Connection
from inference.gateway.upstream.failures import Failure, Timeouts, Unreachable
from inference.gateway.upstream.pool import Pool
from inference.gateway.upstream.reply import Reply
from inference.gateway.upstream.target import head_of
from inference.snapshot import Route


class Upstream:
    """The connections of this process to all engines."""

    async def start(self) -> None:
        self._pool = Pool()

    async def stop(self) -> None:
        await self._pool.close()

    @property
    def open_connections(self) -> int:
        return len(self._pool)

    def abandon(self, base_url: str) -> None:
        """The engine there is lost: whoever waits for an answer to begin gets Unreachable."""
        self._pool.abandon(base_url)

    async def call(
        self, route: Route, question: Question, request_id: str, timeouts: Timeouts
    ) -> Reply:
        """Send `question` and wait for the head of the answer. Raises Unreachable.

        Engines close idle connections, and some after a number of calls, just as the next one
        leaves: that is no failure, and a new connection serves.
        """
        head = head_of(route, question, request_id)
        if connection := self._pool.take(route.base_url):
            try:
                return await _asked(connection, head, question.data, timeouts)
            except Unreachable as error:
                if error.kind != Failure.CLOSED or not connection.is_silent:
                    raise
        connection = await self._pool.connect(route.base_url, timeouts.connect_s)
        return await _asked(connection, head, question.data, timeouts)


async def _asked(connection: Connection, head: bytes, body: bytes, timeouts: Timeouts) -> Reply:
    reply = Reply(connection, timeouts)
    connection.send(reply, head, body)
    await reply.begun()
    return reply
