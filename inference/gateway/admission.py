"""Whether a request may begin: its limits, and the money that it may cost at most, held at once.

One call to Valkey for all of it, which rides with those of other requests. Without Valkey all of it
is counted in this process: rates alone, and money from what `leasing.py` set apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from billing.balances import WALLET, budget_scope, period_start
from billing.holds import (
    MOST,
    Ask,
    Denied,
    Granted,
    HoldsClient,
    LimitAsk,
    LimitState,
    StoreAway,
    Unknown,
)
from billing.limits import NO_TERMS, KeyTerms, LimitEntry
from billing.models import LimitKind
from inference.gateway.errors import MeteringAway
from inference.gateway.figures import LiveFigures
from inference.gateway.leasing import Leasing
from inference.gateway.rates import LocalRates
from inference.gateway.refusals import refusal_of
from inference.snapshot import KeyEntry

SEED_TIMEOUT_S: Final = 3.0
SEED_AGAIN_S: Final = 1.0
LONGEST: Final = timedelta(minutes=50)
"""No request takes longer; it must be less than the hour for which `balances_read` looks ahead."""

log = structlog.get_logger()


class Wish(NamedTuple):
    """What a request asks to be let in with: the most that it costs, and about its tokens."""

    hold: UUID
    key: KeyEntry
    model: str
    amount_nano: int
    tokens: int


class Grant(NamedTuple):
    """That a request was let in. `scopes` are the counters of money that its hold stands in."""

    amount_nano: int
    scopes: tuple[str, ...] = ()
    limits: tuple[LimitState, ...] = ()


class Admission:
    """`seed` brings the counters of organizations up from the books; it blocks."""

    def __init__(
        self,
        holds: HoldsClient,
        gateway: str,
        figures: LiveFigures,
        seed: Callable[[Collection[UUID]], None],
        leasing: Leasing,
    ) -> None:
        self._holds, self._gateway, self._figures, self._seed = holds, gateway, figures, seed
        self._leasing = leasing
        self._rates = LocalRates()
        self._seeding = dict[UUID, asyncio.Future[None]]()

    async def admit(self, wish: Wish, exact: Callable[[int], Awaitable[int | None]]) -> Grant:
        """Raises RateLimited, InsufficientQuota, MeteringAway; then nothing is held.

        `exact` is asked when the money left does not cover the wish: it says what the request
        costs at most once its tokens are counted, if that may be no more than is left.
        """
        terms = wish.key.terms
        ask = self._ask(wish, terms)
        answer = await self._reserve(ask)
        if isinstance(answer, Denied) and answer.kind is None:
            left = answer.limit - answer.used
            amount = await exact(left) if left > 0 else None
            if amount is not None:
                ask = ask._replace(amount_nano=amount)
                answer = await self._reserve(ask)
        if isinstance(answer, Denied):
            if answer.kind is None and self._leasing.is_unsettled(ask.organization_id):
                self._leasing.settle_soon()
                raise MeteringAway
            self._figures.limited(wish.key.organization_id, answer.by)
            raise refusal_of(answer, terms, wish.model, ask.amount_nano)
        if ask.scopes:
            self._leasing.opened(ask)
        return Grant(ask.amount_nano, ask.scopes, answer.limits)

    def _ask(self, wish: Wish, terms: KeyTerms) -> Ask:
        key = wish.key
        limits, scopes = tuple[LimitAsk, ...](), tuple[str, ...]()
        if terms is not NO_TERMS:
            limits = tuple(_limits_asked(terms, wish))
            scopes = tuple(scopes_of(terms, datetime.now(UTC)))
        nano = min(wish.amount_nano, MOST)  # no balance is told to be so much
        return Ask(wish.hold, key.organization_id, nano, scopes, limits, self._gateway)

    async def _reserve(self, ask: Ask) -> Granted | Denied:
        """Raises MeteringAway when nobody can say."""
        epoch = b""
        if ask.scopes:
            epoch = self._leasing.epoch
            if not epoch or self._holds.epoch != epoch:
                epoch = await self._leasing.counter()
            if not epoch:
                return await self._reserve_leased(ask)
        try:
            answer = await self._holds.reserve(ask)
            if isinstance(answer, Unknown):
                await self._seeded(ask.organization_id)
                answer = await self._holds.reserve(ask)
        except StoreAway:
            if ask.scopes:
                raise MeteringAway from None
            return self._rates.take(ask.organization_id.hex, ask.limits)
        if isinstance(answer, Unknown) or (epoch and not self._is_still(epoch)):
            raise MeteringAway
        return answer

    def _is_still(self, epoch: bytes) -> bool:
        """Whether no other run of Valkey may have answered than the one that counts."""
        return self._leasing.epoch == epoch and self._holds.epoch in {epoch, b""}

    async def _reserve_leased(self, ask: Ask) -> Granted | Denied:
        if denied := await self._leasing.reserve(ask):
            return denied
        answer = self._rates.take(ask.organization_id.hex, ask.limits)
        if isinstance(answer, Denied):
            self._leasing.refused(ask)
        return answer

    async def _seeded(self, organization: UUID) -> None:
        """Bring its counters up; those who ask at once wait for one seed. Raises MeteringAway."""
        running = self._seeding.get(organization)
        if running is None:
            running = asyncio.ensure_future(asyncio.to_thread(self._seed, (organization,)))
            self._seeding[organization] = running
            running.add_done_callback(lambda done: self._seed_over(organization, done))
        try:
            async with asyncio.timeout(SEED_TIMEOUT_S):
                await asyncio.shield(running)
        except Exception:  # of PostgreSQL, or of Valkey
            raise MeteringAway from None

    def _seed_over(self, organization: UUID, done: asyncio.Future[None]) -> None:
        """One that failed is not tried again at once: whoever asks until then is refused."""
        error = done.exception()
        if error is None:
            del self._seeding[organization]
            return
        log.warning("admission.seed_failed", error=type(error).__name__)
        loop = asyncio.get_running_loop()
        loop.call_later(SEED_AGAIN_S, self._seeding.pop, organization)


def scopes_of(terms: KeyTerms, now: datetime) -> Iterator[str]:
    """The counters of money that a request of `now` stands in.

    A budget's period pays for what ends in it, so near its end the next one must have room, too.
    """
    if terms.has_wallet:
        yield WALLET
    days = now.date(), (now + LONGEST).date()
    for budget in terms.budgets:
        if budget.is_hard:
            first, last = (period_start(budget.period, day) for day in days)
            yield budget_scope(budget.id, first)
            if last != first:
                yield budget_scope(budget.id, last)


def _limits_asked(terms: KeyTerms, wish: Wish) -> Iterator[LimitAsk]:
    for entry in limits_of(terms, wish.model):
        if entry.kind != LimitKind.TOKENS_MINUTE:
            yield LimitAsk(entry.id, entry.kind, entry.value)
        elif wish.tokens:  # one larger than the limit may go when nothing else counts
            yield LimitAsk(entry.id, entry.kind, entry.value, min(wish.tokens, entry.value))


def limits_of(terms: KeyTerms, model: str) -> tuple[LimitEntry, ...]:
    return terms.limits + terms.by_model.get(model, ())
