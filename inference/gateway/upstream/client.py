"""Calls of the engines, over pooled connections."""

from __future__ import annotations

from django.conf import settings

from inference.gateway.endpoint import Question
from inference.gateway.upstream.connection import Connection
from inference.gateway.upstream.failures import Failure, Timeouts, unreachable
from inference.gateway.upstream.pool import NoConnection, Pool
from inference.gateway.upstream.reply import Reply
from inference.gateway.upstream.target import head_of
from inference.snapshot import Route


class Upstream:
    """The connections of this process to all engines."""

    async def start(self) -> None:
        self._pool = Pool()
        self._timeouts = Timeouts(
            settings.GATEWAY_CONNECT_TIMEOUT_S, None, settings.GATEWAY_IDLE_TIMEOUT_S
        )

    async def stop(self) -> None:
        await self._pool.close()

    @property
    def open_connections(self) -> int:
        return len(self._pool)

    async def call(
        self,
        route: Route,
        question: Question,
        request_id: str,
        timeouts: Timeouts | None = None,
    ) -> Reply:
        """Send `question` and wait for the head of the answer. Raises Unreachable.

        Engines close idle connections, and some after a number of calls, just as the next one
        leaves: that is no failure, and a new connection serves.
        """
        head, timeouts = head_of(route, question, request_id), timeouts or self._timeouts
        if connection := self._pool.take(route.base_url):
            reply = Reply(connection, route.backend, timeouts)
            failure = await _asked(connection, reply, head, question.data)
            if not (failure is Failure.CLOSED and connection.is_silent):
                return _begun(reply, failure, route)
        connection = await self._connected(route, timeouts)
        reply = Reply(connection, route.backend, timeouts)
        return _begun(reply, await _asked(connection, reply, head, question.data), route)

    async def _connected(self, route: Route, timeouts: Timeouts) -> Connection:
        try:
            return await self._pool.connect(route.base_url, timeouts.connect_s)
        except NoConnection as error:
            raise unreachable(route.backend, error.failure) from None


async def _asked(connection: Connection, reply: Reply, head: bytes, body: bytes) -> Failure | None:
    connection.send(reply, head, body)
    return await reply.head()


def _begun(reply: Reply, failure: Failure | None, route: Route) -> Reply:
    if failure:
        raise unreachable(route.backend, failure)
    return reply
