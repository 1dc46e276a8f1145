"""The two ways to answer a generation: whole, or event by event."""

from __future__ import annotations

from typing import Final, override

from asgiref.typing import ASGISendCallable
from django.http import HttpResponse

from billing.models import Outcome
from inference.engines import NO_USAGE
from inference.gateway.bodies import Generation
from inference.gateway.errors import ClientLeft, GatewayError, UpstreamError, UpstreamTimeout
from inference.gateway.exchange import Ended, Exchange
from inference.gateway.handler import Headers, Streamed
from inference.gateway.relay import EventFilter, rename_model
from inference.gateway.upstream import Reply, Unreachable

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream; charset=utf-8"


async def whole_answer(exchange: Exchange, body: Generation) -> HttpResponse:
    """The engine's whole answer. Raises GatewayError."""
    try:
        with exchange.lifeline:
            reply = await exchange.call(body)
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
    usage = exchange.engine.usage_read(data)
    if usage is None:
        exchange.note_usage_missing()
        raise UpstreamError
    exchange.settle(Outcome.COMPLETED, usage)
    data = rename_model(data, exchange.model.public_id)
    headers = {"x-sluice-region": exchange.route.region}
    return HttpResponse(data, content_type=JSON, headers=headers)


async def event_stream(exchange: Exchange, body: Generation) -> EventStream:
    """The engine's stream, once its first event is here. Raises GatewayError before that."""
    try:
        with exchange.lifeline:
            reply = await exchange.call(body)
            stream = EventStream(exchange, reply, body)
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

    def __init__(self, exchange: Exchange, reply: Reply, body: Generation) -> None:
        headers = {"cache-control": "no-cache", "x-sluice-region": exchange.route.region}
        super().__init__(content_type=EVENTS, headers=headers)
        self._exchange, self._reply = exchange, reply
        self._filter = EventFilter(
            exchange.engine,
            exchange.model.public_id,
            wants_usage=body.wants_usage,
            choices=body.choices,
            n=body.n or 1,
        )
        self._first = b""

    async def open(self) -> None:
        """Wait for the first events. Raises Unreachable when the engine fails before them.

        An error in place of the first event is raised as the GatewayError that it stands for.
        """
        while not self._first:
            if self._filter.is_broken:
                raise self._exchange.refusal_in_stream(self._filter.error)
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
            await _say(send, _error(end.outcome))
        except Unreachable:
            self._settle(Outcome.UPSTREAM_ERROR)
            await _say(send, UpstreamError())
        finally:
            self._settle(Outcome.UPSTREAM_ERROR)  # whatever else broke: it is not billed
            self._exchange.close()

    async def _relay(self, send: ASGISendCallable) -> None:
        """Pass on events as they come. The record is handed over before the last byte leaves."""
        block = self._first
        while not self._filter.is_done:
            if block:
                await _send(send, block, more=True)
            if self._filter.is_broken:
                raise Unreachable("an error within the stream")
            block = await self._read()
        self._settle(Outcome.COMPLETED)
        await _send(send, block, more=False)

    async def _read(self) -> bytes:
        data = await self._reply.read_some()
        if not data:
            raise Unreachable("the stream ended without [DONE]")
        return self._filter.feed(data)

    def _settle(self, outcome: Outcome) -> None:
        if not self._exchange.is_settled:
            self._exchange.settle(outcome, self._filter.usage)


async def _send(send: ASGISendCallable, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _say(send: ASGISendCallable, error: GatewayError) -> None:
    """End a stream with an error that SDKs raise, and without [DONE]."""
    await _send(send, b"data: " + error.body() + b"\n\n", more=False)
