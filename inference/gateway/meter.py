"""What one request uses, from its hold to its end: settled with a record, or voided; once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from billing.metering import UsageRecord
from billing.models import Outcome
from inference.engines import NO_USAGE, Usage
from inference.gateway.admission import Grant, Wish
from inference.gateway.charging import nano_charged
from inference.gateway.errors import InsufficientQuota, MeteringAway, RateLimited
from inference.gateway.metering import Metering
from inference.gateway.spool import SpoolClosed
from inference.snapshot import KeyEntry, ModelEntry, Route

PROGRESS_S: Final = 1.0
PROGRESS_EVENTS: Final = 256
"""A stream tells what it used so far as often as that: no more is lost if the process dies."""

log = structlog.get_logger()


class Metered(NamedTuple):
    """Of a request what its record says from the start. What is not billed leaves no record."""

    request_id: UUID
    key: KeyEntry
    endpoint: str
    is_streamed: bool
    is_billed: bool
    client_request_id: str


class Meter:
    """Whoever made it calls `close` in the end; what was not settled by then is voided."""

    def __init__(self, metering: Metering, about: Metered) -> None:
        self._metering, self._about = metering, about
        self.admitted_at, self._started = datetime.now(UTC), perf_counter()
        self.ttft_ms: int | None = None
        self.queued_s, self.attempts = 0.0, 0
        self.charged_nano: int | None = None
        self.grant = Grant(0)
        self.is_dispatched = self.is_settled = False
        self._may_hold, self._tokens = False, 0
        self._beginning: Awaitable[None] | None = None
        self._writing: Awaitable[None] | None = None
        self._model: ModelEntry | None = None
        self._route: Route | None = None

    async def admit(self, wish: Wish, exact: Callable[[int], Awaitable[int | None]]) -> None:
        """Raises RateLimited, InsufficientQuota, MeteringAway."""
        self._may_hold = True  # whatever becomes of the call
        self._tokens = wish.tokens
        try:
            self.grant = await self._metering.admission.admit(wish, exact)
        except (RateLimited, InsufficientQuota):
            self._may_hold = False
            raise

    def dispatch(self, model: ModelEntry, route: Route) -> None:
        """An engine is about to be asked. Raises MeteringAway."""
        self.attempts += 1
        self._model, self._route = model, route
        if self._about.is_billed:
            record = self._record(Outcome.GATEWAY_CRASH, NO_USAGE, 0)
            self._metering.dispatched(record, self.grant)
            if self._about.is_streamed:
                self._beginning = self._metering.synced()
        self.is_dispatched = True

    async def begun(self) -> None:
        """Wait until the start of a stream is on disk; only then may its first byte leave.

        Raises MeteringAway.
        """
        if self._beginning:
            try:
                await self._beginning
            except SpoolClosed:
                raise MeteringAway from None

    def progressed(self, usage: Usage) -> None:
        self._metering.progressed(self._about.request_id, usage, self.ttft_ms)

    def first_token(self) -> float:
        """The seconds since the request came."""
        ttft_s = perf_counter() - self._started
        self.ttft_ms = round(ttft_s * 1000)
        return ttft_s

    @property
    def duration_s(self) -> float:
        return perf_counter() - self._started

    def settle(self, outcome: Outcome, usage: Usage) -> None:
        """Hand over the one record."""
        assert self._model, "an engine was asked"  # noqa: S101
        self.is_settled = True
        try:
            prices = self._model.prices[self._about.key.terms.book]
            charged: int | None = nano_charged(prices, outcome, usage)
        except LookupError:  # never free: the ingest sets it aside, and halts the model
            charged = None
            log.error("usage.unpriced", request_id=str(self._about.request_id))
        self.charged_nano = charged
        actual = self.grant.amount_nano if charged is None else charged
        if actual > self.grant.amount_nano and self.grant.scopes:
            log.error("hold.exceeded", request_id=str(self._about.request_id), actual=actual)
        tokens = usage.input_tokens + usage.output_tokens
        if outcome == Outcome.CLIENT_DISCONNECT and not tokens:
            tokens = self._tokens  # nobody knows: it counts as what it asked for
        record = self._record(outcome, usage, charged)
        self._writing = self._metering.settled(record, actual, self.grant, tokens)

    async def on_disk(self) -> None:
        """Wait until what was settled is there; only then may the last byte leave.

        A disk that failed for long keeps nobody from the end of an answer that is there.
        """
        if self._writing:
            with suppress(SpoolClosed):
                await self._writing

    def close(self) -> None:
        if self.is_settled or not self._may_hold:
            return
        self.is_settled = True
        about = self._about
        self._metering.voided(about.request_id, about.key.organization_id)

    def _record(self, outcome: Outcome, usage: Usage, charged: int | None) -> UsageRecord:
        about, model, route = self._about, self._model, self._route
        assert model, "an engine was asked"  # noqa: S101
        assert route, "an engine was asked"  # noqa: S101
        return UsageRecord(
            request_id=about.request_id,
            organization_id=about.key.organization_id,
            project_id=about.key.project_id,
            api_key_id=about.key.id,
            model=model.public_id,
            backend=route.backend,
            region=route.region,
            endpoint=about.endpoint,
            streamed=about.is_streamed,
            outcome=outcome.value,
            admitted_at=self.admitted_at,
            occurred_at=datetime.now(UTC),
            ttft_ms=self.ttft_ms,
            duration_ms=round(self.duration_s * 1000),
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            client_request_id=about.client_request_id,
            audio_seconds=usage.audio_seconds,
            queued_ms=round(self.queued_s * 1000),
            attempts=self.attempts,
            amount_nano=charged,
            book=about.key.terms.book,
        )
