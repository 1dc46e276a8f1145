"""A connection to an engine, which takes one call at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast, override

from inference.gateway.upstream.answer import AnswerReader
from inference.gateway.upstream.failures import Failure

if TYPE_CHECKING:
    from inference.gateway.upstream.reply import Reply

MAX_JOINED_BYTES: Final = 2**16
"""Up to here a copy of the body costs less than a second write."""


class Owner(Protocol):
    """Whoever keeps connections."""

    def freed(self, connection: Connection) -> None:
        """Its answer is complete: another call may come."""

    def lost(self, connection: Connection) -> None:
        """Its socket is gone."""


class Connection(asyncio.Protocol):
    """Hands what arrives to the reply that waits for it.

    `is_silent` until a byte of the answer is here, `is_lost` when no call may come any more.
    `idle_since` is its owner's, in the loop's time.
    """

    __slots__ = (
        "_answer", "_is_paused", "_owner", "_transport", "base_url", "idle_since", "is_lost",
        "is_silent", "loop", "reply",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, base_url: str, owner: Owner) -> None:
        self.loop, self.base_url, self._owner = loop, base_url, owner
        self._answer = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self.reply: Reply | None = None
        self.idle_since = 0.0
        self.is_silent = True
        self.is_lost = self._is_paused = False

    def send(self, reply: Reply, head: bytes, body: bytes) -> None:
        """Ask; `reply` gets the answer. The transport keeps `body` until it is sent."""
        self._answer.start()
        self.reply, self.is_silent = reply, True
        if self.is_lost or not self._transport:
            reply.fail(Failure.CLOSED)
        elif len(body) <= MAX_JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def pause(self) -> None:
        if self._transport and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport and self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def fail(self) -> None:
        """Close at once; whoever reads an answer hears of it."""
        self._lose(is_clean=False)

    def abort(self) -> None:
        """Close at once; nobody hears of it."""
        self.reply, self.is_lost = None, True
        if self._transport:
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        reply, answer = self.reply, self._answer
        if reply is None:
            self.abort()  # nobody asked
            return
        self.is_silent = False
        body = answer.feed(data)
        if answer.status and not reply.status:
            reply.begin(answer.status, answer.content_type)
        if body:
            reply.add(body)
        if answer.is_done:
            self._free()
            reply.end()
        elif answer.failure:
            reply.fail(answer.failure)

    @override
    def eof_received(self) -> None:
        self._lose(is_clean=True)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(is_clean=exc is None)
        self._transport = None
        self._owner.lost(self)

    def _lose(self, *, is_clean: bool) -> None:
        reply = self.reply
        self.abort()
        if reply is None:
            return
        if is_clean and self._answer.ends_with_connection:
            reply.end()
        else:
            reply.fail(Failure.CLOSED)

    def _free(self) -> None:
        """Serve another call, unless the engine wants none or is still being sent this one."""
        self.reply = None
        unsent = self._transport.get_write_buffer_size() if self._transport else 0
        if unsent or not self._answer.is_reusable:
            self.abort()
        else:
            self.resume()
            self._owner.freed(self)
