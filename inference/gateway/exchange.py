"""One request at the engines, from the choice of a backend to its one usage record."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, Final
from uuid import UUID

import structlog

from billing.models import FAILED, Outcome
from inference.engines import ENGINES, Engine, Usage, error_read
from inference.gateway import metrics
from inference.gateway.admission import Wish
from inference.gateway.affinity import affinity_of
from inference.gateway.auth import cache_salt
from inference.gateway.bodies import Body
from inference.gateway.bounds import Bound, Sent
from inference.gateway.catalogue import ending_headers
from inference.gateway.charging import NANO, nano_most
from inference.gateway.counting import MOST_BYTES_A_TOKEN, prompt_tokens
from inference.gateway.endpoint import Asked, Endpoint
from inference.gateway.errors import (
    GatewayError,
    NoCapacity,
    RegionUnavailable,
    UpstreamError,
    UpstreamTimeout,
)
from inference.gateway.handler import GatewayRequest
from inference.gateway.lifeline import Lifeline
from inference.gateway.meter import Meter, Metered
from inference.gateway.refusals import limit_headers
from inference.gateway.upstream import Reply, Timeouts, Unreachable
from inference.snapshot import KeyEntry, ModelEntry, Route

ATTEMPTS: Final = 3
MAX_CLIENT_ID_CHARS: Final = 128
_NOT_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_BUSY: Final = frozenset({429, 503})
_MISLED: Final = frozenset({401, 403, 404})
"""The engine does not take our key, or does not have the model: it is set up wrongly."""

log = structlog.get_logger()


class Failed(Exception):  # noqa: N818
    """A backend did not do its work before the client had a byte of it: another may.

    `kind` is a word for metrics and the breaker, `error` what the client gets if none does.
    """

    def __init__(self, kind: str, error: GatewayError | None = None) -> None:
        super().__init__(kind)
        self.kind, self.error = kind, error or UpstreamError()


class Exchange:
    """A request that was let in. It leaves exactly one usage record if an engine worked for it.

    `asked_model` is what the client named, when its fallback answers as `model`.
    """

    def __init__(
        self,
        request: GatewayRequest,
        key: KeyEntry,
        endpoint: Endpoint[Any],
        model: ModelEntry,
        body: Body,
        sent: Sent,
    ) -> None:
        self.request, self.key, self.endpoint, self.model = request, key, endpoint, model
        self.body = body
        self.gateway = request.gateway
        self.meter = Meter(self.gateway.metering, _about(request, key, endpoint, body))
        self._bound, self._tokens = endpoint.bound(body, sent), 0
        self.asked_model = ""
        self._route: Route | None = None
        self._entered: Route | None = None
        self._reply: Reply | None = None
        self._allowed = key
        self._affinity = affinity_of(request, key, model, endpoint, body)
        self._is_open = True
        running = self.gateway.drain.lifelines
        self.lifeline = Lifeline(request.receive, model.policy.total_timeout_s, running, key)
        if self.gateway.keeper.snapshot.has_revoked(key):  # while its body came
            self.lifeline.revoke()

    @property
    def is_settled(self) -> bool:
        return self.meter.is_settled

    @property
    def route(self) -> Route:
        assert self._route, "no backend was called yet"  # noqa: S101
        return self._route

    @property
    def engine(self) -> Engine:
        return ENGINES[self.route.engine]

    @property
    def headers(self) -> dict[str, str]:
        """What an answer says of the place and the model it comes from, and of the limits."""
        headers = ending_headers(self.model)
        if self._route:
            headers["x-sluice-region"] = self._route.region
        if self.asked_model:
            headers["x-sluice-fallback"] = self.asked_model
        if self.meter.grant.limits:
            headers |= limit_headers(self.meter.grant.limits)
        return headers

    async def call[T](self, begin: Callable[[Reply], Awaitable[T]]) -> T:
        """What `begin` makes of the 200 of an engine: of another one if it raises Failed, and of
        the model's fallback if no backend of its own does.

        Raises GatewayError, and Ended.
        """
        try:
            await self._admit()
            return await self._from_models(begin)
        except GatewayError as error:
            metrics.unanswered(self.model.public_id, error.status)
            raise self.told(error) from None

    def told(self, error: GatewayError) -> GatewayError:
        """`error`, with what an answer would say in its headers."""
        error.headers = {**self.headers, **error.headers}
        return error

    async def _admit(self) -> None:
        """Hold what it may cost, at its model or at that one's fallback."""
        model, bound = self.model, self._bound
        nano, self._tokens = self._nano_most(bound), bound.tokens(model.context_tokens)
        wish = Wish(self.request.id, self.key, model.public_id, nano, self._tokens)
        await self.meter.admit(wish, self._nano_exact)

    def _nano_most(self, bound: Bound) -> int:
        if not self.endpoint.is_metered:
            return 0
        model, book = self.model, self.key.terms.book
        most = nano_most(bound, model.prices[book], model.context_tokens)
        if other := self._fallback:
            most = max(most, nano_most(bound, other.prices[book], other.context_tokens))
        return most

    async def _nano_exact(self, left: int) -> int | None:
        """What it costs at most with its prompt counted by an engine.

        None where none counts, or where `left` would not do whatever the count were.
        """
        bound = self._bound
        fewest = bound._replace(input_tokens=bound.input_tokens // MOST_BYTES_A_TOKEN)
        if self._nano_most(fewest) > left:
            return None
        tokens = await prompt_tokens(self.request, self.key, self.model, self.endpoint, self.body)
        return None if tokens is None else self._nano_most(bound._replace(input_tokens=tokens))

    async def _from_models[T](self, begin: Callable[[Reply], Awaitable[T]]) -> T:
        try:
            return await self._from_any(begin)
        except (NoCapacity, RegionUnavailable, UpstreamError, UpstreamTimeout):
            if not self._fall_back():
                raise
        return await self._from_any(begin)

    async def _from_any[T](self, begin: Callable[[Reply], Awaitable[T]]) -> T:
        """At most ATTEMPTS backends, and each retry within the budget of the model's retries."""
        tried, failure, failed_at = set[UUID](), Failed("none"), ""
        budget = self.gateway.retry_budget(self.model.public_id)
        budget.deposit()
        while len(tried) < ATTEMPTS and (not tried or budget.take()):
            try:
                route = await self._place(tried)
            except (NoCapacity, RegionUnavailable) as error:
                is_policy = isinstance(error, RegionUnavailable) and self._allowed is self.key
                raise failure.error if tried and not is_policy else error from None
            if tried:
                metrics.retried(self.model.public_id, failed_at, failure.kind)
            tried.add(route.backend_id)
            try:
                return await self._from(route, begin)
            except Failed as error:
                failure, failed_at = error, route.backend
        raise failure.error

    async def _from[T](self, route: Route, begin: Callable[[Reply], Awaitable[T]]) -> T:
        try:
            result = await begin(await self._ask(route))
        except Unreachable as error:
            failure = Failed(error.kind, _error_of(error.kind))
        except Failed as error:
            failure = error
        else:
            self.gateway.fleet.succeeded(route)
            return result
        self.broke_off(failure.kind)  # before its place goes to the next one that waits
        self._let_go()
        raise failure

    async def _place(self, tried: Collection[UUID]) -> Route:
        """Find a backend and count as in flight there; this may wait in the queue."""

        def choose(goes_first: bool) -> Route | None:
            router, snapshot = self.gateway.router, self.gateway.keeper.snapshot
            model = snapshot.models.get(self.model.public_id, self.model)
            key, affinity = self._allowed, self._affinity
            return router.choose(model, key, affinity, tried, goes_first=goes_first).route

        came = perf_counter()
        route = await self.gateway.waiting.place(
            self.model, self.key, self._tokens, choose, is_retry=bool(tried)
        )
        queued_s = perf_counter() - came
        self.meter.queued_s += queued_s
        metrics.queued(self.model.public_id, queued_s)
        self._route = self._entered = route
        self.gateway.figures.called(route, is_retry=bool(tried))
        return route

    async def _ask(self, route: Route) -> Reply:
        """The head of a 200. Raises Unreachable, Failed, or the customer's fault."""
        salt = cache_salt(self.key.organization_id)
        priority = self.gateway.waiting.priority(self.model, self.key)
        asked = Asked(self.engine, route.engine_model, salt, self.model.family, priority)
        question = await self.request.work(lambda: self.endpoint.question(self.body, asked))
        self.meter.dispatch(self.model, route)
        upstream = self.gateway.upstream
        reply = await upstream.call(route, question, str(self.request.id), self._timeouts)
        self._reply = reply
        if reply.status != 200:
            raise self._refusal(reply.status, await reply.read())
        await self.meter.begun()
        return reply

    @property
    def _timeouts(self) -> Timeouts:
        policy = self.model.policy
        first_byte_s = policy.first_byte_timeout_s if self.body.stream else None
        return Timeouts(policy.connect_timeout_s, first_byte_s, policy.idle_timeout_s)

    def _let_go(self) -> None:
        """Leave the backend; a reply that was not read to its end stops its engine."""
        if self._reply:
            self._reply.close()
            self._reply = None
        if self._entered:
            self.gateway.waiting.leave(self.model, self.key, self._entered)
            self._entered = None

    def _fall_back(self) -> bool:
        """Turn to the model that its policy names, where the organization may call it too."""
        other = self._fallback
        if other is None or self.asked_model or self._allowed is not self.key:
            return False
        self._let_go()
        self.asked_model, self.model = self.model.public_id, other
        return True

    @property
    def _fallback(self) -> ModelEntry | None:
        name, key = self.model.policy.fallback, self.key
        other = self.gateway.keeper.snapshot.model(name, key) if name else None
        return other if other and self._fits(other) else None

    def _fits(self, other: ModelEntry) -> bool:
        size, scope = len(self.request.data), self.key.scope
        is_allowed = scope.models is None or other.public_id in scope.models
        is_able = self.endpoint.task in other.tasks and size <= other.limits.body_bytes
        return is_allowed and is_able

    def _refusal(self, status: int, body: bytes) -> Exception:
        """The customer's faults are a list; everything else is ours."""
        fault = self.engine.fault_read(error_read(body)) if 400 <= status < 500 else None
        if fault:
            self.gateway.fleet.succeeded(self.route)
            return self.endpoint.fault(fault)
        log.warning("upstream.refused", backend=self.route.backend, status=status)
        if status in _BUSY:
            return Failed("busy", NoCapacity(headers={"Retry-After": "2"}))
        is_its_own = not 400 <= status < 500 or status in _MISLED
        return Failed(f"http_{status}") if is_its_own else UpstreamError()

    def refusal_in_stream(self, body: bytes) -> Exception:
        """What an error stands for that an engine sent in place of the first event."""
        return self._refusal(error_read(body).status, body)

    def commit(self) -> bool:
        """Whether the client may be told the region; no other answers the request from then on."""
        if self._route:
            self._allowed = replace(self.key, regions=frozenset({self._route.region}))
        return self._route is not None

    def first_token(self) -> None:
        ttft_s = self.meter.first_token()
        self.gateway.figures.first_token(self.route, ttft_s * 1000)
        metrics.first_token(*self._where, ttft_s)

    def settle(self, outcome: Outcome, usage: Usage) -> None:
        """Hand over the record, the first time; no other ending of the request counts."""
        meter = self.meter
        if meter.is_settled or not meter.is_dispatched or not self.endpoint.is_metered:
            return  # who leaves before an engine was asked leaves no record
        self.request.is_broken = outcome in FAILED
        meter.settle(outcome, usage)
        self.gateway.figures.used(usage)
        ttft_s = meter.ttft_ms / 1000 if meter.ttft_ms is not None else None
        metrics.ended(*self._where, outcome.value, usage, meter.duration_s, ttft_s)

    @property
    def cost_header(self) -> Mapping[str, str]:
        """Of what was settled, in the organization's currency."""
        nano = self.meter.charged_nano
        if nano is None:
            return {}
        return {"x-sluice-cost": f"{nano // NANO}.{nano % NANO:09}"}

    @property
    def _where(self) -> tuple[str, str, str]:
        """Model, backend and region."""
        return self.model.public_id, self.route.backend, self.route.region

    def note_usage_missing(self) -> None:
        metrics.USAGE_MISSING.labels(self.route.backend).inc()
        log.error("usage.missing", backend=self.route.backend, request_id=str(self.request.id))

    def broke_off(self, kind: str) -> GatewayError:
        """The backend failed in the middle of its answer; what the client is told."""
        self.gateway.fleet.failed(self.route, kind)
        self.gateway.figures.failed(self.route)
        metrics.UPSTREAM_FAILURES.labels(self.route.backend, kind).inc()
        log.warning("upstream.failed", backend=self.route.backend, kind=kind)
        return _error_of(kind)

    def close(self) -> None:
        """Let go of everything."""
        if self._is_open:
            self._is_open = False
            self.lifeline.close()
            self._let_go()
            self.meter.close()


def _about(request: GatewayRequest, key: KeyEntry, endpoint: Endpoint[Any], body: Body) -> Metered:
    return Metered(
        request_id=request.id,
        key=key,
        endpoint=endpoint.path,
        is_streamed=bool(body.stream),
        is_billed=endpoint.is_metered,
        client_request_id=client_request_id(request),
    )


def _error_of(kind: str) -> GatewayError:
    return UpstreamTimeout() if kind.endswith("_timeout") else UpstreamError()


def client_request_id(request: GatewayRequest) -> str:
    """The client's own id for the request, to be searched for and never trusted."""
    given = request.header(b"x-client-request-id")
    return _NOT_PRINTABLE.sub("", given)[:MAX_CLIENT_ID_CHARS] if given else ""
