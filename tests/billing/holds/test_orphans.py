from __future__ import annotations

from typing import Any
from uuid import UUID

from billing.holds import (
    Granted,
    HoldsClient,
    LimitAsk,
    Reaped,
    ScopeState,
    Settled,
    holds_abandon,
    holds_read,
    limits_state,
    orphans,
    reap,
    scopes_state,
    seed,
)
from billing.holds.orphans import LONGEST_S, ORPHAN_S, UNREACHABLE_S
from billing.holds.scripts import STAMP, keys_of, lease_key
from billing.models import LimitKind
from tenants.valkey import client
from tests.billing.holds.conftest import ACME, RIVAL, ask, entries

STREAMS = LimitAsk("o", LimitKind.STREAMS, 3)


def age(hold: UUID, seconds: int) -> None:
    """Let a hold be `seconds` old."""
    holds = keys_of(ACME).holds
    kept: Any = client().hget(holds, hold.bytes)
    now, _ = client().time()
    client().hset(holds, hold.bytes, b"%d" % (now - seconds) + kept[STAMP:])


async def held(holds: HoldsClient, seconds: int, organization: UUID = ACME) -> UUID:
    """A hold of 40 nano that is `seconds` old."""
    wanted = ask(40, STREAMS, organization=organization)
    assert isinstance(await holds.reserve(wanted), Granted)
    age(wanted.hold, seconds)
    return wanted.hold


async def test_a_hold_is_an_orphan_when_it_is_old_and_its_gateway_is_gone(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 100})
    old, _young = await held(holds, ORPHAN_S + 1), await held(holds, ORPHAN_S - 20)
    await holds.beat()
    assert orphans() == []
    client().delete(lease_key("gateway-1"))
    assert [hold.id for hold in orphans()] == [old]
    seen = holds_read()
    assert (seen.open, seen.held_nano, seen.orphans) == (2, {ACME: 80}, 1)
    assert (seen.shards[0].open, seen.shards[1].open) == (2, 0)


async def test_no_lease_keeps_a_hold_that_no_request_can_have(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    lost = await held(holds, LONGEST_S + 1)
    await holds.beat()
    assert [hold.id for hold in orphans()] == [lost]


async def test_a_beat_holds_the_lease(holds: HoldsClient) -> None:
    assert not holds.is_leased
    await holds.beat()
    assert holds.is_leased
    assert 5_000 < client().pttl(lease_key("gateway-1")) <= 10_000


async def test_an_orphan_is_settled_by_what_its_spool_knew(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    hold = await held(holds, ORPHAN_S + 1)
    assert reap(orphans(), {hold: Settled(15, 100, b"record")}) == Reaped(1, 0, 0)
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=15, held=0)
    assert [fields[b"r"] for _, fields in entries()] == [b"record"]
    assert not await holds.settle(hold, ACME, 20, 0, b"what the gateway says when it wakes up")


async def test_an_orphan_of_which_nothing_is_to_be_billed_is_voided(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    hold = await held(holds, ORPHAN_S + 1)
    assert reap(orphans(), {hold: None}) == Reaped(0, 1, 0)
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=0, held=0)
    assert limits_state(ACME, [STREAMS])[0].remaining == 3


async def test_an_orphan_of_which_nobody_knows_keeps_its_money_for_a_while(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 100})
    hold = await held(holds, UNREACHABLE_S - 20)
    assert reap(orphans(), {}) == Reaped(0, 0, 1)
    assert scopes_state(ACME)["w"].held == 40
    age(hold, UNREACHABLE_S)
    assert reap(orphans(), {}) == Reaped(0, 1, 0)
    assert scopes_state(ACME)["w"].held == 0


async def test_what_a_dead_gateway_had_not_begun_is_let_go_at_once(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    await held(holds, 0)
    await holds.beat()
    assert holds_abandon("gateway-2") == 0
    assert holds_abandon("gateway-1") == 1
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=0, held=0)


async def test_what_the_reaper_voided_is_settled_by_a_record_that_comes_later(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 100})
    hold = await held(holds, UNREACHABLE_S)
    reap(orphans(), {})
    assert not await holds.void(hold, ACME)
    assert await holds.settle(hold, ACME, 15, 0, b"record", scopes=("w",))
    assert not await holds.settle(hold, ACME, 15, 0, b"record", scopes=("w",))
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=15, held=0)
    assert len(entries()) == 1


async def test_a_hold_that_ended_meanwhile_is_not_reaped(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    hold = await held(holds, UNREACHABLE_S)
    found = orphans()
    await holds.settle(hold, ACME, 15, 0, b"record")
    assert reap(found, {hold: None}) == Reaped(0, 0, 0)
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=15, held=0)


async def test_a_caller_that_believed_a_denial_leaks_nothing_for_long(holds: HoldsClient) -> None:
    """Its first answer was lost on the way, it asked again, was granted, and had gone."""
    seed(RIVAL, 1, {"w": 100})
    hold = await held(holds, UNREACHABLE_S, organization=RIVAL)
    assert reap(orphans(), {}) == Reaped(0, 1, 0)
    assert hold not in {one.id for one in orphans()}
    assert isinstance(await holds.reserve(ask(100, organization=RIVAL)), Granted)
