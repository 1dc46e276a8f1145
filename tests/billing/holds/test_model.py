"""The scripts against a model of a few lines, under every order, repetition and loss of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, override
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.holds import (
    Ask,
    Denied,
    Granted,
    Hold,
    HoldInvalid,
    HoldsClient,
    LimitAsk,
    Posted,
    ScopeState,
    Unknown,
    limits_state,
    post,
    reap,
    scopes_state,
    seed,
)
from billing.models import LimitKind
from tenants.valkey import async_client, client
from tests.billing.holds.conftest import ACME, RIVAL, ask, entries

FUNDS: Final = 100
STREAMS: Final = LimitAsk("o", LimitKind.STREAMS, 3)
ORGANIZATIONS: Final = st.sampled_from([ACME, RIVAL])
HOLDS: Final = st.tuples(ORGANIZATIONS, st.integers(1, 6)).map(
    lambda pair: (pair[0], UUID(int=pair[0].int * 100 + pair[1]))
)
"""An organization and a hold of it. They are few, so that calls meet."""


class Read(NamedTuple):
    """What somebody saw in PostgreSQL, and may tell Valkey at any time later, or again."""

    organization: UUID
    version: int
    balance: int
    booked: tuple[Posted, ...] = ()


@dataclass
class Model:
    """One organization: its books, what spools know for ever, and what Valkey is to know."""

    booked: dict[UUID, int] = field(default_factory=dict)
    settled: dict[UUID, int] = field(default_factory=dict)
    told: tuple[int, int] | None = None
    held: dict[UUID, Ask] = field(default_factory=dict)
    done: dict[UUID, str] = field(default_factory=dict)
    stream: list[UUID] = field(default_factory=list)

    @property
    def balance(self) -> int:
        return FUNDS - sum(self.booked.values())

    @property
    def state(self) -> dict[str, ScopeState]:
        if self.told is None:
            return {}
        unposted = sum(self.settled[hold] for hold in self.stream)
        return {"w": ScopeState(self.told[1], unposted, self.holding)}

    @property
    def holding(self) -> int:
        return sum(wanted.amount_nano for wanted in self.held.values())

    @property
    def streams(self) -> int:
        return sum(len(wanted.limits) for wanted in self.held.values())

    @property
    def available(self) -> int:
        return sum(state.balance - state.unposted - state.held for state in self.state.values())

    def reserve(self, wanted: Ask) -> type[object]:
        if wanted.hold in self.done:
            return HoldInvalid
        if wanted.hold in self.held:
            return Granted
        if self.streams + len(wanted.limits) > STREAMS.value and wanted.limits:
            return Denied
        if self.told is None:
            return Unknown
        if self.available < wanted.amount_nano:
            return Denied
        self.held[wanted.hold] = wanted
        return Granted

    def end(self, hold: UUID, mark: str) -> bool:
        """Whether this is what ends it."""
        if hold in self.done and (self.done[hold], mark) != ("reaped", "settled"):
            return False
        self.held.pop(hold, None)
        self.done[hold] = mark
        return True

    def tell(self, version: int, balance: int) -> None:
        if self.told is None or version >= self.told[0]:
            self.told = version, balance

    def forget(self) -> None:
        self.told = None
        self.held, self.done, self.stream = {}, {}, []


class HoldsMachine(RuleBasedStateMachine):
    runner: asyncio.Runner
    holds: HoldsClient

    def __init__(self) -> None:
        super().__init__()
        client().flushdb()
        self.models = {ACME: Model(), RIVAL: Model()}
        self.reads: list[Read] = []
        self.is_exact = True

    @initialize()
    def begin(self) -> None:
        for organization in self.models:
            self.seed(organization)

    @rule(of=HOLDS, amount=st.integers(0, 60), is_limited=st.booleans())
    def reserve(self, of: tuple[UUID, UUID], amount: int, *, is_limited: bool) -> None:
        organization, hold = of
        model = self.models[organization]
        if hold in model.settled and hold not in model.done:
            return  # no gateway asks again for what it has served
        limits = (STREAMS,) if is_limited else ()
        wanted = ask(amount, *limits, hold=hold, organization=organization)
        expected = model.reserve(wanted)
        try:
            answer: object = self.runner.run(self.holds.reserve(wanted))
        except HoldInvalid as error:
            answer = error
        assert type(answer) is expected

    @rule(of=HOLDS, share=st.integers(0, 4))
    def settle(self, of: tuple[UUID, UUID], share: int) -> None:
        """Never for more than was held; and a record that is there comes with the same amount."""
        organization, hold = of
        model = self.models[organization]
        wanted = model.held.get(hold)
        actual = model.settled.get(hold, wanted.amount_nano * share // 4 if wanted else 0)
        self.is_exact &= model.done.get(hold) != "reaped"
        is_first = model.end(hold, "settled")
        if is_first:
            model.settled[hold] = actual
            model.stream.append(hold)
        call = self.holds.settle(hold, organization, actual, 0, b"", scopes=("w",))
        assert self.runner.run(call) == is_first

    @rule(of=HOLDS)
    def void(self, of: tuple[UUID, UUID]) -> None:
        organization, hold = of
        model = self.models[organization]
        if hold in model.settled and hold not in model.done:
            return  # nor takes back what it has said
        is_first = model.end(hold, "voided")
        assert self.runner.run(self.holds.void(hold, organization)) == is_first

    @rule(of=HOLDS)
    def reap(self, of: tuple[UUID, UUID]) -> None:
        organization, hold = of
        is_first = self.models[organization].end(hold, "reaped")
        orphan = Hold(hold, organization, "gateway-1", 0, ("w",), age_s=9999, is_orphan=True)
        assert reap([orphan], {}).voided == is_first

    @rule(organization=ORGANIZATIONS)
    def read(self, organization: UUID) -> None:
        model = self.models[organization]
        self.reads.append(Read(organization, len(model.booked), model.balance))

    @rule(count=st.integers(1, 4))
    def commit(self, count: int) -> None:
        """PostgreSQL books the next entries, each hold once, and the posting is yet to come."""
        batches: dict[UUID, list[Posted]] = {}
        for entry_id, fields in entries()[:count]:
            organization, hold = UUID(fields[b"o"].decode()), UUID(bytes=fields[b"h"])
            entry = Posted(entry_id, int(fields[b"n"]), ("w",))
            self.models[organization].booked.setdefault(hold, entry.actual_nano)
            batches.setdefault(organization, []).append(entry)
        for organization, batch in batches.items():
            model = self.models[organization]
            read = Read(organization, len(model.booked), model.balance, tuple(batch))
            self.reads.append(read)

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        """Post or seed what was read, now or long ago."""
        read = data.draw(st.sampled_from(self.reads))
        model = self.models[read.organization]
        waiting = {entry_id: UUID(bytes=fields[b"h"]) for entry_id, fields in entries()}
        if read.booked:
            post(read.organization, read.version, {"w": read.balance}, read.booked)
        else:
            seed(read.organization, read.version, {"w": read.balance})
        model.tell(read.version, read.balance)
        for entry in read.booked:
            if entry.id in waiting:
                model.stream.remove(waiting[entry.id])

    def seed(self, organization: UUID) -> None:
        model = self.models[organization]
        seed(organization, len(model.booked), {"w": model.balance})
        model.tell(len(model.booked), model.balance)

    @rule()
    def wipe(self) -> None:
        client().flushdb()
        for model in self.models.values():
            model.forget()
        self.is_exact = False

    @invariant()
    def valkey_knows_what_the_model_knows(self) -> None:
        for organization, model in self.models.items():
            assert scopes_state(organization) == model.state
            [limit] = limits_state(organization, [STREAMS])
            assert limit.remaining == STREAMS.value - model.streams

    @invariant()
    def nothing_is_overspent(self) -> None:
        """Unless Valkey lost what it knew, or the reaper took a hold for void that was not."""
        for model in self.models.values():
            if self.is_exact:
                assert model.available >= 0
                assert sum(model.settled.values()) + model.holding <= FUNDS

    @override
    def teardown(self) -> None:
        """At rest: each record is booked once, nothing is held, and all that is left is usable."""
        for organization, model in self.models.items():
            for hold in list(model.held):
                self.void((organization, hold))
            for hold in list(model.settled):
                self.settle((organization, hold), 0)
        self.commit(1000)
        for read in self.reads:
            post(read.organization, read.version, {"w": read.balance}, read.booked)
        for organization, model in self.models.items():
            assert model.booked == model.settled
            seed(organization, len(model.booked), {"w": model.balance})
            assert scopes_state(organization) == {"w": ScopeState(model.balance, 0, 0)}
            last = ask(max(0, model.balance), organization=organization)
            expected = Granted if model.balance >= 0 else Denied
            assert type(self.runner.run(self.holds.reserve(last))) is expected


@pytest.fixture
def machine() -> Iterator[type[HoldsMachine]]:
    valkey = async_client()
    with asyncio.Runner() as runner:
        HoldsMachine.runner, HoldsMachine.holds = runner, HoldsClient(valkey, "gateway-1")
        runner.run(HoldsMachine.holds.start())
        yield HoldsMachine
        runner.run(HoldsMachine.holds.stop())
        runner.run(valkey.aclose())


def test_the_scripts_do_what_the_model_does(machine: type[HoldsMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
