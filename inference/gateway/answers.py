"""The two ways to answer: whole, or event by event."""

from __future__ import annotations

from typing import Final, override

from asgiref.typing import ASGISendCallable
from django.http import HttpResponse

from billing.models import Outcome
from inference.engines import NO_USAGE
from inference.gateway.endpoint import Stream
from inference.gateway.errors import ClientLeft, GatewayError, UpstreamError, UpstreamTimeout
from inference.gateway.exchange import Ended, Exchange
from inference.gateway.handler import Headers, Streamed
from inference.gateway.upstream import Reply, Unreachable

EVENTS: Final = "text/event-stream; charset=utf-8"


async def whole_answer(exchange: Exchange) -> HttpResponse:
    """The engine's whole answer. Raises GatewayError."""
    try:
        with exchange.lifeline:
            reply = await exchange.call()
            data = await reply.read()
    except Ended as end:
        exchange.settle(end.outcome, NO_USAGE)
        raise _error(end.outcome) from None
    except Unreachable:
        raise UpstreamError from None
    finally:
        exchange.close()
    return _billed(exchange, data)


def _billed(exchange: Exchange, data: bytes) -> HttpResponse:
    """An answer that says what it used; one that does not is a fault of the engine."""
    endpoint, engine = exchange.endpoint, exchange.engine
    answer = endpoint.answer(data, exchange.body, engine, exchange.model.public_id)
    if answer is None:
        exchange.note_usage_missing()
        raise UpstreamError
    exchange.settle(Outcome.COMPLETED, answer.usage)
    content_type = answer.content_type
    return HttpResponse(answer.data, content_type=content_type, headers=exchange.headers)


async def event_stream(exchange: Exchange) -> EventStream:
    """The engine's stream, once its first event is here. Raises GatewayError before that."""
    try:
        with exchange.lifeline:
            stream = EventStream(exchange, await exchange.call())
            await stream.open()
    except Ended as end:
        exchange.settle(end.outcome, NO_USAGE)
        exchange.close()
        raise _error(end.outcome) from None
    except Unreachable:
        exchange.close()
        raise UpstreamError from None
    except BaseException:
        exchange.close()
        raise
    return stream


def _error(outcome: Outcome) -> GatewayError:
    return UpstreamTimeout() if outcome is Outcome.TIMEOUT else ClientLeft()


class EventStream(Streamed):
    """Server-sent events on their way from an engine to a client."""

    def __init__(self, exchange: Exchange, reply: Reply) -> None:
        headers = {"cache-control": "no-cache", **exchange.headers}
        super().__init__(content_type=EVENTS, headers=headers)
        self._exchange, self._reply = exchange, reply
        self._stream: Stream = exchange.endpoint.stream(
            exchange.body, exchange.engine, exchange.model.public_id
        )
        self._first = b""

    async def open(self) -> None:
        """Wait for the first events. Raises Unreachable when the engine fails before them.

        An error in place of the first event is raised as the GatewayError that it stands for.
        """
        while not self._first:
            if self._stream.is_broken:
                raise self._exchange.refusal_in_stream(self._stream.error)
            self._first = await self._read()
        self._exchange.first_token()

    @override
    async def deliver(self, send: ASGISendCallable, headers: Headers) -> None:
        try:
            with self._exchange.lifeline:
                await send({
                    "type": "http.response.start", "status": 200, "headers": headers,
                    "trailers": False,
                })  # fmt: skip
                await self._relay(send)
            await self._reply.finish()
        except Ended as end:
            self._settle(end.outcome)
            await self._say(send, _error(end.outcome))
        except Unreachable:
            self._settle(Outcome.UPSTREAM_ERROR)
            await self._say(send, UpstreamError())
        finally:
            self._settle(Outcome.UPSTREAM_ERROR)  # whatever else broke: it is not billed
            self._exchange.close()

    async def _relay(self, send: ASGISendCallable) -> None:
        """Pass on events as they come. The record is handed over before the last byte leaves."""
        block = self._first
        while not self._stream.is_done:
            if block:
                await _send(send, block, more=True)
            if self._stream.is_broken:
                raise Unreachable("an error within the stream")
            block = await self._read()
        self._settle(Outcome.COMPLETED)
        await _send(send, block, more=False)

    async def _read(self) -> bytes:
        data = await self._reply.read_some()
        if not data:
            raise Unreachable("the stream ended without [DONE]")
        return self._stream.feed(data)

    def _settle(self, outcome: Outcome) -> None:
        if not self._exchange.is_settled:
            self._exchange.settle(outcome, self._stream.usage)

    async def _say(self, send: ASGISendCallable, error: GatewayError) -> None:
        """End the stream with an error that SDKs raise, and without its usual end."""
        endpoint, request_id = self._exchange.endpoint, self._exchange.request.id
        await _send(send, endpoint.last_words(self._stream, error, request_id), more=False)


async def _send(send: ASGISendCallable, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
