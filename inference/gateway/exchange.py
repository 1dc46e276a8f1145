"""One request at an engine, from the choice of a backend to its one usage record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import structlog
from asgiref.typing import ASGIReceiveCallable
from django.conf import settings

from billing.metering import UsageRecord
from billing.models import Outcome
from inference.engines import ENGINES, Engine, Usage, error_read
from inference.gateway.auth import cache_salt
from inference.gateway.bodies import Body
from inference.gateway.catalogue import ending_headers
from inference.gateway.endpoint import Asked, Endpoint
from inference.gateway.errors import (
    GatewayError,
    NoCapacity,
    UpstreamError,
)
from inference.gateway.handler import GatewayRequest
from inference.gateway.metrics import AUDIO_SECONDS, OUTCOMES, TOKENS, TTFT_SECONDS, USAGE_MISSING
from inference.gateway.upstream import Reply, Unreachable
from inference.snapshot import KeyEntry, ModelEntry, Route

ATTEMPTS: Final = 2
MAX_CLIENT_ID_CHARS: Final = 128
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_BUSY: Final = frozenset({429, 503})

log = structlog.get_logger()


class Ended(Exception):  # noqa: N818
    """The client left, or the time is up: `outcome` says which."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Lifeline:
    """Within it, whatever waits for an engine ends at once when the client leaves or time is up.

    It may be entered again; what happened in between is raised on entry.
    """

    def __init__(self, receive: ASGIReceiveCallable, timeout_s: float) -> None:
        self._ended_by: Outcome | None = None
        self._task: asyncio.Task[object] | None = None
        self._gone = asyncio.ensure_future(receive())
        self._gone.add_done_callback(lambda _: self._end(Outcome.CLIENT_DISCONNECT))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(timeout_s, self._end, Outcome.TIMEOUT)

    def __enter__(self) -> Self:
        if self._ended_by:
            raise Ended(self._ended_by)
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if exc_type is asyncio.CancelledError and self._ended_by and task:
            task.uncancel()
            raise Ended(self._ended_by) from None

    def close(self) -> None:
        self._timer.cancel()
        self._gone.cancel()

    def _end(self, outcome: Outcome) -> None:
        if self._ended_by is None:
            self._ended_by = outcome
            if self._task:
                self._task.cancel()


class Exchange:
    """A request that was let in. It leaves exactly one usage record if an engine worked for it."""

    def __init__(
        self,
        request: GatewayRequest,
        key: KeyEntry,
        endpoint: Endpoint[Any],
        model: ModelEntry,
        body: Body,
    ) -> None:
        self.request, self.key, self.endpoint, self.model = request, key, endpoint, model
        self.body = body
        self.gateway = request.gateway
        self.admitted_at, self._started = datetime.now(UTC), perf_counter()
        self.ttft_ms: int | None = None
        self._route: Route | None = None
        self._entered: Route | None = None
        self._reply: Reply | None = None
        self.is_settled, self._is_open = False, True
        self.lifeline = Lifeline(request.receive, settings.GATEWAY_TOTAL_TIMEOUT_S)

    @property
    def route(self) -> Route:
        assert self._route, "no backend was called yet"  # noqa: S101
        return self._route

    @property
    def engine(self) -> Engine:
        return ENGINES[self.route.engine]

    @property
    def headers(self) -> dict[str, str]:
        """What an answer says of the place it comes from, and of a model that ends."""
        return {"x-sluice-region": self.route.region, **ending_headers(self.model)}

    async def call(self) -> Reply:
        """The 200 of an engine, from the second backend if the first gives no answer.

        Raises GatewayError for any other answer, and Ended.
        """
        tried = set[UUID]()
        for _ in range(ATTEMPTS):
            try:
                await self._place(tried)
            except NoCapacity:
                if tried:
                    break
                raise
            tried.add(self.route.backend_id)
            try:
                return await self._call()
            except Unreachable:
                continue
        raise UpstreamError

    async def _place(self, tried: Collection[UUID]) -> None:
        self._leave()

        def choose() -> Route | None:
            return self.gateway.router.choose(self.model, self.key, None, tried).route

        route = await self.gateway.waiting.place(self.model, self.key, 1, choose)
        self._route = self._entered = route

    async def _call(self) -> Reply:
        salt = cache_salt(self.key.organization_id)
        asked = Asked(self.engine, self.route.engine_model, salt, self.model.family)
        question = await self.request.work(lambda: self.endpoint.question(self.body, asked))
        reply = await self.gateway.upstream.call(self.route, question, str(self.request.id))
        self._reply = reply
        if reply.status != 200:
            raise self._refusal(reply.status, await reply.read())
        return reply

    def _leave(self) -> None:
        if self._entered:
            self.gateway.fleet.leave(self._entered)
            self._entered = None

    def _refusal(self, status: int, body: bytes) -> GatewayError:
        """The customer's faults are a list; everything else is ours."""
        fault = self.engine.fault_read(error_read(body)) if 400 <= status < 500 else None
        if fault:
            return self.endpoint.fault(fault)
        log.warning("upstream.refused", backend=self.route.backend, status=status)
        return NoCapacity(headers={"Retry-After": "2"}) if status in _BUSY else UpstreamError()

    def refusal_in_stream(self, body: bytes) -> GatewayError:
        """The error that an engine sent in place of the first event."""
        return self._refusal(error_read(body).status, body)

    def first_token(self) -> None:
        ttft_s = perf_counter() - self._started
        self.ttft_ms = round(ttft_s * 1000)
        self.gateway.figures.first_token(ttft_s * 1000)
        TTFT_SECONDS.labels(self.model.public_id).observe(ttft_s)

    def settle(self, outcome: Outcome, usage: Usage) -> None:
        """Hand over the record, the first time; no other ending of the request counts."""
        if self.is_settled or self._route is None or not self.endpoint.is_metered:
            return
        self.is_settled = True
        self.request.is_broken = outcome in {Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT}
        self.gateway.writer.put(self._record(outcome, usage))
        self.gateway.figures.used(usage)
        OUTCOMES.labels(outcome.value).inc()
        TOKENS.labels(self.model.public_id, "input").inc(usage.input_tokens)
        TOKENS.labels(self.model.public_id, "output").inc(usage.output_tokens)
        if usage.audio_seconds:
            AUDIO_SECONDS.labels(self.model.public_id).inc(usage.audio_seconds)

    def _record(self, outcome: Outcome, usage: Usage) -> UsageRecord:
        return UsageRecord(
            request_id=self.request.id,
            organization_id=self.key.organization_id,
            project_id=self.key.project_id,
            api_key_id=self.key.id,
            model=self.model.public_id,
            backend=self.route.backend,
            region=self.route.region,
            endpoint=self.endpoint.path,
            streamed=bool(self.body.stream),
            outcome=outcome.value,
            admitted_at=self.admitted_at,
            occurred_at=datetime.now(UTC),
            ttft_ms=self.ttft_ms,
            duration_ms=round((perf_counter() - self._started) * 1000),
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            client_request_id=client_request_id(self.request),
            audio_seconds=usage.audio_seconds,
        )

    def note_usage_missing(self) -> None:
        USAGE_MISSING.labels(self.route.backend).inc()
        log.error("usage.missing", backend=self.route.backend, request_id=str(self.request.id))

    def close(self) -> None:
        """Let go of everything; a reply that was not read to its end stops its engine."""
        if self._is_open:
            self._is_open = False
            self.lifeline.close()
            self._leave()
            if self._reply:
                self._reply.close()


def client_request_id(request: GatewayRequest) -> str:
    """The client's own id for the request, to be searched for and never trusted."""
    given = request.header(b"x-client-request-id")
    return _NOT_PRINTABLE.sub("", given)[:MAX_CLIENT_ID_CHARS] if given else ""
