"""Which of two counts what may be spent: Valkey, or the leases that this gateway has.

While Valkey is away, credit is set apart in PostgreSQL by the chunk and spent here. Before any is,
each gateway has left Valkey and said in PostgreSQL what its requests may cost and what they did
cost that is not booked; and each does so before it counts by another run of Valkey, which may have
lost that. See docs/decisions/0015.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Set
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import structlog

from billing.holds import Ask, Denied
from billing.leases import (
    LeaseRefused,
    Short,
    lease_take,
    leases_shrink,
    leases_write,
    spender_attach,
    spender_heard,
    spender_leave,
    spenders_adopt,
)
from inference.gateway.database import ask as in_database
from inference.gateway.errors import MeteringAway
from inference.gateway.purse import Exposed, Purse, exposure
from inference.gateway.spool import Settled

GRACE_S: Final = 2.0
"""A loss of Valkey that is shorter changes nothing."""
ATTACH_S: Final = 10.0
"""So long another run of Valkey waits for a gateway that says nothing."""
TICK_S: Final = 0.1
BEAT_S: Final = 2.0
HEARD_S: Final = 60.0
RETRY_S: Final = 1.0
TRUST_S: Final = 300.0
"""Leases are not spent from when PostgreSQL has not been heard for so long: they end, too."""
TAKE_S: Final = 1.0
SHORT_S: Final = 0.5
"""For so long PostgreSQL is not asked again by who would be refused."""
WAIT_S: Final = 2.0
"""So long a request waits until it is known who counts."""

type Seed = Callable[[Collection[UUID]], Awaitable[None]]
"""Sets the balances of organizations in Valkey from the books. Raises when either is away."""

log = structlog.get_logger()


class Store(Protocol):
    """Valkey: `epoch` is the run of it that answers, empty while none does, since `away_s`."""

    @property
    def epoch(self) -> bytes: ...

    @property
    def away_s(self) -> float: ...

    async def has(self, holds: Mapping[UUID, UUID]) -> set[UUID]:
        """Which of these holds, with their organizations, it has."""


class Records(Protocol):
    """The spool: `waiting` records have not reached Valkey. `dead` are those it took over from."""

    @property
    def name(self) -> str: ...

    @property
    def waiting(self) -> int: ...

    @property
    def dead(self) -> Set[str]: ...

    def missing(self) -> AsyncIterator[list[Settled]]:
        """All that settled until now, had a limit of money and is not booked. Raises."""

    async def redeliver(self) -> bool:
        """Whether Valkey was told of all these."""


class Leasing:
    """Of one process. `epoch` is the run of Valkey by which it counts, empty for its leases.

    `open` are the requests that run and have a limit of money, by their id.
    """

    def __init__(self, store: Store, seed: Seed) -> None:
        self._store, self._seed = store, seed
        self.epoch = b""
        self.open = dict[UUID, Exposed]()
        self._unsettled = set[UUID]()
        self._purse = Purse()
        self._taking = dict[UUID, asyncio.Future[dict[str, int] | Short]]()
        self._shorts = dict[UUID, tuple[float, Short]]()
        self._uncounted, self._late = set[UUID](), set[UUID]()
        self._replaced = set[str]()
        self._is_declared = self._has_rows = False
        self._failures, self._verified_at = 0, -1
        self._heard_at = self._beat_at = self._no_take_until = 0.0
        self._blocked_since: float | None = None
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, records: Records) -> None:
        """Return when it is known who counts, or when that takes long."""
        self._records = records
        self._task = asyncio.create_task(self._run())
        with suppress(MeteringAway):
            await self._known()

    async def stop(self) -> None:
        """Leave no row behind where there is nothing that it stands for."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if not (self._has_rows or self.open or self._records.waiting):
            with suppress(Exception):
                await self._leave()

    # What requests ask

    async def counter(self) -> bytes:
        """The run of Valkey that counts now; empty: `reserve` does. Raises MeteringAway."""
        here = self._store.epoch
        if here != self.epoch and here and self.epoch:
            self._detach()
        if not self._ready.is_set():
            await self._known()
        return self.epoch

    async def _known(self) -> None:
        """Wait a little until it is known who counts."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._ready.wait()
        except TimeoutError:
            raise MeteringAway from None

    def is_unsettled(self, organization_id: UUID) -> bool:
        """Whether Valkey counts, and for a few seconds more is set apart than is used."""
        return bool(self.epoch) and organization_id in self._unsettled

    def settle_soon(self) -> None:
        """Give the leases back at the next step: somebody was refused for them."""
        self._beat_at = 0.0

    async def reserve(self, ask: Ask) -> Denied | None:
        """Take the money of `ask` from the leases; None when it is taken. Raises MeteringAway."""
        try:
            async with asyncio.timeout(TAKE_S):
                while not (self._is_leasing and self._purse.spend(ask)):
                    if denied := await self._take(ask):
                        return denied
        except (TimeoutError, LeaseRefused) as error:
            log.debug("lease.refused", why=str(error))
            raise MeteringAway from None
        return None

    def opened(self, ask: Ask) -> None:
        """It was let in, and may cost what it holds until it ends."""
        self.open[ask.hold] = ask

    def refused(self, ask: Ask) -> None:
        """What was taken for it is there again: another limit did not let it in."""
        self._purse.ended(ask, 0)

    def voided(self, request_id: UUID) -> None:
        self._end(request_id, 0)

    def landed(self, settled: Settled, is_delivered: bool) -> None:
        """It is on disk, and Valkey was told of it, or not yet."""
        self._failures += not is_delivered
        if not is_delivered and self.epoch and settled.request_id in self._uncounted:
            self._late.add(settled.request_id)  # Valkey has nothing of it, not even a hold
        else:
            self._end(settled.request_id, settled.actual_nano)

    def _end(self, request_id: UUID, actual_nano: int) -> None:
        one = self.open.pop(request_id, None)
        if one and not self.epoch:
            self._purse.ended(one, actual_nano)

    @property
    def _is_leasing(self) -> bool:
        is_trusted = monotonic() - self._heard_at < TRUST_S
        return self._is_declared and not self.epoch and is_trusted

    async def _take(self, one: Exposed) -> Denied | None:
        """Set more apart; those who ask at once for an organization wait for one of them."""
        if not self._is_leasing or monotonic() < self._no_take_until:
            raise LeaseRefused("nobody knows what is left")
        until, short = self._shorts.get(one.organization_id, (0.0, None))
        if short and monotonic() < until and short.scope in one.scopes:
            denied = self._denied(one, short)
            if denied.limit - denied.used < one.amount_nano:
                return denied
        if running := self._taking.get(one.organization_id):
            await asyncio.wait([running])
            return None
        self._has_rows = True
        self._unsettled.add(one.organization_id)
        needs = self._purse.needs(one)
        work = in_database(lease_take, self._records.name, one.organization_id, needs)
        self._taking[one.organization_id] = taking = asyncio.ensure_future(work)
        taking.add_done_callback(partial(self._taken, one.organization_id))
        try:
            answer = await asyncio.shield(taking)
        except LeaseRefused:
            raise
        except Exception as error:
            raise LeaseRefused(type(error).__name__) from None
        if isinstance(answer, Short):
            self._shorts[one.organization_id] = monotonic() + SHORT_S, answer
            return self._denied(one, answer)
        return None

    def _taken(self, organization_id: UUID, taking: asyncio.Future[dict[str, int] | Short]) -> None:
        """Also for whoever does not wait for it any more."""
        del self._taking[organization_id]
        if taking.cancelled():
            return
        error = taking.exception()
        if error is None and isinstance(taken := taking.result(), dict):
            self._purse.fill(organization_id, taken)
        elif error and not isinstance(error, LeaseRefused):
            log.warning("lease.not_taken", error=type(error).__name__)
            self._no_take_until = monotonic() + RETRY_S

    def _denied(self, one: Exposed, short: Short) -> Denied:
        used = short.leased_nano - self._purse.rest(one.organization_id, short.scope)
        return Denied(short.scope, None, short.balance_nano, used, None, ())

    # Who counts

    async def _run(self) -> None:
        was_failing = False
        while True:
            try:
                await self.step()
                was_failing = False
            except Exception as error:  # it must go on: without it nobody with a limit is served
                if not was_failing:
                    log.warning("leasing.failed", error=type(error).__name__, exc_info=error)
                was_failing = True
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(TICK_S)

    async def step(self) -> None:
        """One step towards who should count now. Raises what the stores do."""
        here = self._store.epoch
        if self.epoch and here != self.epoch and (here or self._store.away_s >= GRACE_S):
            self._detach()
        if self.epoch:
            if here:
                await self._tend()
        elif not self._is_declared or self._records.dead - self._replaced:
            await self._declare()
        elif here:
            await self._attach(here)
        else:
            self._ready.set()
            await self._hold_out()

    def count_by(self, epoch: bytes) -> None:
        """Let requests spend by that run of Valkey."""
        self.epoch, self._heard_at = epoch, monotonic()
        self._uncounted, self._verified_at = set(self.open), -1
        self._ready.set()

    def _detach(self) -> None:
        """Let no request spend by Valkey; those that run are on our account from here on."""
        log.warning("leasing.detached", open=len(self.open))
        self.epoch = b""
        self._purse = Purse()
        self._forget(self._late)
        self._is_declared = False
        self._blocked_since = None
        self._ready.clear()

    async def _declare(self) -> None:
        """Write down all that is exposed: by requests that run, and by what is not booked yet."""
        self._is_declared = False
        self._ready.clear()
        await in_database(spender_heard, self._records.name, "")  # it answers
        if self._taking:
            await asyncio.wait(list(self._taking.values()))
        dead, known = self._records.dead - self._replaced, dict(self.open)
        amounts = self._purse.amounts()
        amounts.update(exposure(known.values()))
        async for missing in self._records.missing():
            amounts.update(exposure(_spent(one) for one in missing if one.request_id not in known))
        await self._write(amounts, replaces=dead)
        self._replaced |= dead
        self._is_declared, self._heard_at = True, monotonic()

    async def _attach(self, here: bytes) -> None:
        """Count by `here`, once no gateway counts by another run of Valkey."""
        self._ready.clear()
        now = monotonic()
        self._blocked_since = self._blocked_since or now
        is_forced = now - self._blocked_since > ATTACH_S
        self._is_declared = False  # whatever becomes of it
        name = self._records.name
        leased = await in_database(spender_attach, name, here.decode(), is_forced=is_forced)
        if leased is None:
            self._is_declared = True
            return
        if leased:
            await self._seed(leased)
        if self._store.epoch == here:
            log.info("leasing.attached", forced=is_forced)
            self.count_by(here)

    async def _hold_out(self) -> None:
        """Valkey is away: renew the leases, and give back what nobody spends."""
        if not self._is_due():
            return
        if not await in_database(spender_heard, self._records.name, ""):
            self._purse = Purse()  # others may have taken it
            self._is_declared = False
            return
        self._heard_at = monotonic()
        if idle := self._purse.idle_take():
            await in_database(leases_shrink, self._records.name, idle)

    async def _tend(self) -> None:
        """Valkey counts: take the place of the dead, say that we live, give the leases back."""
        name, epoch = self._records.name, self.epoch.decode()
        if dead := self._records.dead - self._replaced:
            if not await in_database(spenders_adopt, name, dead, epoch):
                self._detach()  # Valkey may not know what they exposed
                return
            self._replaced |= dead
        if monotonic() - self._heard_at >= HEARD_S:
            self._heard_at = monotonic()
            if not await in_database(spender_heard, name, epoch):
                self._detach()
                return
        if self._has_rows and self._is_due():
            await self._give_back(epoch)

    async def _give_back(self, epoch: str) -> None:
        """Keep what requests may cost of which Valkey knows nothing, once it has every record."""
        failures, late = self._failures, set(self._late)
        if self._records.waiting:
            return
        if self._verified_at != failures and not await self._records.redeliver():
            return
        self._verified_at = failures
        self._forget(late)
        running = {id_: self.open[id_] for id_ in self._uncounted & self.open.keys()}
        held = await self._store.has({id_: one.organization_id for id_, one in running.items()})
        self._uncounted = running.keys() - held
        amounts = exposure(running[id_] for id_ in self._uncounted)
        if self._failures == failures:
            await self._seed(await self._write(amounts, epoch=epoch))

    def _forget(self, late: Set[UUID]) -> None:
        """They are over, and who reads the disk finds them."""
        for request_id in late:
            self.open.pop(request_id, None)
        self._late -= late

    async def _write(
        self,
        amounts: Counter[tuple[UUID, str]],
        *,
        epoch: str = "",
        replaces: Set[str] = frozenset(),
    ) -> set[UUID]:
        touched = await in_database(
            leases_write, self._records.name, amounts, epoch=epoch, replaces=replaces
        )
        self._has_rows = bool(amounts)
        self._unsettled = {organization_id for organization_id, _ in amounts}
        return touched

    async def _leave(self) -> None:
        async for missing in self._records.missing():
            if missing:
                return
        await in_database(spender_leave, self._records.name)

    def _is_due(self) -> bool:
        now = monotonic()
        if now - self._beat_at < BEAT_S:
            return False
        self._beat_at = now
        return True


class _Spent(NamedTuple):
    """By a request that is over."""

    organization_id: UUID
    amount_nano: int
    scopes: tuple[str, ...]


def _spent(settled: Settled) -> _Spent:
    return _Spent(settled.organization_id, settled.actual_nano, settled.scopes)
