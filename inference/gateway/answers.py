"""The two ways to answer: whole, or event by event."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple, override

from asgiref.typing import ASGISendCallable
from django.conf import settings

from billing.models import Outcome
from inference.engines import NO_USAGE
from inference.gateway.endpoint import EVENTS, Answer, Stream
from inference.gateway.errors import GatewayError
from inference.gateway.exchange import Exchange, Failed
from inference.gateway.handler import Headers, Relayed, Whole
from inference.gateway.lifeline import Ended
from inference.gateway.meter import PROGRESS_EVENTS, PROGRESS_S
from inference.gateway.upstream import Reply, Unreachable

KEEP_ALIVE: Final = b": keep-alive\n\n"


async def whole_answer(exchange: Exchange) -> Whole:
    """The engine's whole answer. Raises GatewayError."""

    async def whole(reply: Reply) -> Answer:
        return _billable(exchange, await reply.read())

    try:
        with exchange.lifeline:
            answer = await exchange.call(whole)
        exchange.settle(Outcome.COMPLETED, answer.usage)
        await exchange.meter.on_disk()
    except Ended as end:
        exchange.settle(end.outcome, NO_USAGE)
        raise exchange.told(end.error) from None
    finally:
        exchange.close()
    headers = {**exchange.headers, **exchange.cost_header}
    return Whole(answer.data, answer.content_type, headers)


def _billable(exchange: Exchange, data: bytes) -> Answer:
    """An answer that says what it used; one that does not is a fault of the engine."""
    endpoint, engine = exchange.endpoint, exchange.engine
    answer = endpoint.answer(data, exchange.body, engine, exchange.model.public_id)
    if answer is None:
        exchange.note_usage_missing()
        raise Failed("bad_answer")
    return answer


class Opened(NamedTuple):
    """A stream whose first events are here."""

    reply: Reply
    stream: Stream
    first: bytes


async def event_stream(exchange: Exchange) -> EventStream:
    """The engine's stream, once its first event is here, or has been long in coming.

    Raises GatewayError before that.
    """
    loop = asyncio.get_running_loop()
    opening = asyncio.Task(_open(exchange), loop=loop, eager_start=True)
    try:
        while not opening.done():
            await asyncio.wait((opening,), timeout=settings.GATEWAY_KEEPALIVE_S)
            if opening.done() or exchange.commit():
                break
    except asyncio.CancelledError:
        opening.cancel()
        raise
    if opening.done():
        opening.result()
    return EventStream(exchange, opening)


async def _open(exchange: Exchange) -> Opened:
    """Raises GatewayError; then nothing is left open."""

    async def first_events(reply: Reply) -> Opened:
        return await _first_events(exchange, reply)

    try:
        with exchange.lifeline:
            opened = await exchange.call(first_events)
    except Ended as end:
        exchange.settle(end.outcome, NO_USAGE)
        exchange.close()
        raise exchange.told(end.error) from None
    except BaseException:
        exchange.close()
        raise
    exchange.first_token()
    return opened


async def _first_events(exchange: Exchange, reply: Reply) -> Opened:
    """Raises Failed and Unreachable when the engine fails before them.

    An error in place of the first event is raised as what it stands for.
    """
    endpoint, engine = exchange.endpoint, exchange.engine
    if reply.content_type not in endpoint.streams_as:
        raise Failed("wrong_content_type")
    stream = endpoint.stream(exchange.body, engine, exchange.model.public_id)
    first = b""
    while not first:
        if stream.is_broken:
            raise exchange.refusal_in_stream(stream.error) if stream.error else Failed("garbage")
        first = await _read(reply, stream)
    return Opened(reply, stream, first)


async def _read(reply: Reply, stream: Stream) -> bytes:
    if data := await reply.read_some():
        return stream.feed(data)
    raise Unreachable("closed")


class EventStream(Relayed):
    """Server-sent events on their way from an engine to a client.

    Until the first ones are here the client gets comments, so that nothing in between takes the
    connection for dead.
    """

    def __init__(self, exchange: Exchange, opening: asyncio.Task[Opened]) -> None:
        headers = {"cache-control": "no-cache", **exchange.headers}
        super().__init__(f"{EVENTS}; charset=utf-8", headers)
        self._exchange, self._opening = exchange, opening
        self._lifeline = exchange.lifeline

    @override
    async def deliver(self, send: ASGISendCallable, headers: Headers) -> None:
        try:
            await send({
                "type": "http.response.start", "status": 200, "headers": headers,
                "trailers": False,
            })  # fmt: skip
            await self._wait(send)
            await self._pass_on(send, self._opening.result())
        except GatewayError as error:
            self._exchange.close()
            if not self._lifeline.is_sending:  # else the client takes nothing
                await self._say(send, error)
        finally:
            self._exchange.close()

    async def _wait(self, send: ASGISendCallable) -> None:
        try:
            while not self._opening.done():
                await _send(send, KEEP_ALIVE, more=True)
                await asyncio.wait((self._opening,), timeout=settings.GATEWAY_KEEPALIVE_S)
        except asyncio.CancelledError:
            self._opening.cancel()
            raise

    async def _pass_on(self, send: ASGISendCallable, opened: Opened) -> None:
        """Raises GatewayError for what ends the stream before its end."""
        exchange, stream = self._exchange, opened.stream
        try:
            with self._lifeline:
                await self._relay(send, opened)
            await opened.reply.finish()
        except Ended as end:
            self._settle(end.outcome, stream)
            raise end.error from None
        except Unreachable as error:
            self._settle(Outcome.UPSTREAM_ERROR, stream)
            raise exchange.broke_off(error.kind) from None
        finally:
            self._settle(Outcome.UPSTREAM_ERROR, stream)  # whatever else broke: it is not billed

    async def _relay(self, send: ASGISendCallable, opened: Opened) -> None:
        """Pass on events as they come. The record is handed over before the last byte leaves."""
        reply, stream, block = opened
        lifeline, meter, vigil = self._lifeline, self._exchange.meter, self._exchange.gateway.vigil
        clock = asyncio.get_running_loop().time
        tell_at, tell_past = clock() + PROGRESS_S, PROGRESS_EVENTS
        while not stream.is_done:
            now = clock()
            if now > vigil.until:
                vigil.lapse()
                lifeline.check()
            if now > tell_at or lifeline.sent > tell_past:
                meter.progressed(stream.usage)
                tell_at, tell_past = now + PROGRESS_S, lifeline.sent + PROGRESS_EVENTS
            if block:
                lifeline.is_sending = True
                await _send(send, block, more=True)
                lifeline.is_sending = False
                lifeline.sent += 1
            if stream.is_broken:
                raise Unreachable("error_event")
            block = await _read(reply, stream)
        self._settle(Outcome.COMPLETED, stream)
        await meter.on_disk()
        await _send(send, block, more=False)

    def _settle(self, outcome: Outcome, stream: Stream) -> None:
        if not self._exchange.is_settled:
            self._exchange.settle(outcome, stream.usage)

    async def _say(self, send: ASGISendCallable, error: GatewayError) -> None:
        """End the stream with an error that SDKs raise, and without its usual end."""
        exchange = self._exchange
        stream = self._opening.result().stream if not self._opening.exception() else None
        last = exchange.endpoint.last_words(stream, error, exchange.request.id)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.GATEWAY_SEND_TIMEOUT_S):
                await _send(send, last, more=False)


async def _send(send: ASGISendCallable, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
