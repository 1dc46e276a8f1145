from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from billing.holds import (
    GROUP,
    MOST,
    Denied,
    Granted,
    HoldInvalid,
    HoldsClient,
    LimitAsk,
    Posted,
    Posting,
    ScopeState,
    limits_state,
    post,
    post_many,
    scopes_state,
    seed,
    seed_many,
)
from billing.holds.scripts import keys_of
from billing.metering import SHARDS, stream_of
from billing.models import LimitKind
from tenants.valkey import client
from tests.billing.holds.conftest import ACME, RIVAL, STREAM, ask, entries

OCTOBER, NOVEMBER = "b:1:20261001", "b:1:20261101"


async def settled(
    holds: HoldsClient, amount: int, scopes: tuple[str, ...] = ("w",), organization: UUID = ACME
) -> Posted:
    """The stream's entry of a request that cost `amount`."""
    wanted = ask(amount, scopes=scopes, organization=organization)
    assert isinstance(await holds.reserve(wanted), Granted)
    assert await holds.settle(wanted.hold, organization, amount, 0, b"record")
    shard = organization.int % SHARDS
    latest: Any = client().xrevrange(stream_of(shard), count=1)
    [(entry_id, fields)] = latest
    assert fields[b"h"] == wanted.hold.bytes
    return Posted(entry_id, amount, scopes)


async def test_a_posting_takes_its_entries_off_what_is_unposted(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    one, two = await settled(holds, 30), await settled(holds, 20)
    post(ACME, 2, {"w": 70}, [one])
    assert scopes_state(ACME)["w"] == ScopeState(70, unposted=20, held=0)
    assert [entry_id for entry_id, _ in entries()] == [two.id]


async def test_a_posting_acknowledges_what_the_ingest_has_read(holds: HoldsClient) -> None:
    client().xgroup_create(STREAM, GROUP, "0", mkstream=True)
    seed(ACME, 1, {"w": 100})
    one = await settled(holds, 30)
    client().xreadgroup(GROUP, "worker", {STREAM: ">"})
    post(ACME, 2, {"w": 70}, [one])
    assert client().xpending(STREAM, GROUP)["pending"] == 0


async def test_a_posting_that_is_repeated_counts_once(holds: HoldsClient) -> None:
    """As it is after a crash between the commit and the posting, and with two workers."""
    seed(ACME, 1, {"w": 100})
    one, _ = await settled(holds, 30), await settled(holds, 20)
    for _ in range(2):
        post(ACME, 2, {"w": 70}, [one])
        assert scopes_state(ACME)["w"] == ScopeState(70, unposted=20, held=0)


async def test_an_older_posting_only_takes_its_entries_off(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    one, two = await settled(holds, 30), await settled(holds, 20)
    post(ACME, 3, {"w": 50}, [two])
    assert scopes_state(ACME)["w"] == ScopeState(50, unposted=30, held=0)
    post(ACME, 2, {"w": 70}, [one])
    assert scopes_state(ACME)["w"] == ScopeState(50, unposted=0, held=0)


async def test_a_late_seed_does_not_bring_an_old_balance_back(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    post(ACME, 2, {"w": 70}, [await settled(holds, 30)])
    assert not seed(ACME, 1, {"w": 100})
    assert scopes_state(ACME)["w"].balance == 70


async def test_an_account_that_was_lost_takes_the_balance_of_a_posting(
    holds: HoldsClient,
) -> None:
    """Else a seed with what was read before the commit would come after, and be believed."""
    seed(ACME, 1, {"w": 100})
    one, _ = await settled(holds, 30), await settled(holds, 20)
    client().delete(keys_of(ACME).account)
    post(ACME, 2, {"w": 70}, [one])
    assert not seed(ACME, 1, {"w": 100})
    assert scopes_state(ACME)["w"] == ScopeState(70, unposted=20, held=0)


async def test_a_budget_that_changes_counts_at_once(holds: HoldsClient) -> None:
    seed(ACME, 1, {NOVEMBER: 10})
    assert isinstance(await holds.reserve(ask(20, scopes=(NOVEMBER,))), Denied)
    assert seed(ACME, 1, {NOVEMBER: 25})
    assert isinstance(await holds.reserve(ask(20, scopes=(NOVEMBER,))), Granted)


async def test_a_seed_counts_from_the_stream_and_the_holds(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    await settled(holds, 30)
    await holds.reserve(ask(15))
    client().hset(keys_of(ACME).account, mapping={"u:w": 5, "h:w": 99})
    seed(ACME, 1, {"w": 100})
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=30, held=15)


async def test_a_seed_counts_streams_anew_and_forgets_limits_that_nobody_used(
    holds: HoldsClient,
) -> None:
    streams = LimitAsk("o", LimitKind.STREAMS, 5)
    other, idle = LimitAsk("k:1", LimitKind.STREAMS, 5), "l:rpm:k:1"
    await holds.reserve(ask(0, streams, scopes=()))
    account = keys_of(ACME).account
    client().hset(account, mapping={"l:streams:o": 4, "l:streams:k:1": 3, idle: 1, "l:rpd:o": 1})
    seed(ACME, 1, {"w": 1})
    assert [state.remaining for state in limits_state(ACME, [streams, other])] == [4, 5]
    fields: Any = client().hkeys(account)
    assert [field for field in fields if field.startswith(b"l:")] == [b"l:streams:o"]


async def test_the_scope_of_an_ended_period_is_dropped(holds: HoldsClient) -> None:
    seed(ACME, 1, {OCTOBER: 100, NOVEMBER: 100})
    late = ask(10, scopes=(OCTOBER,))
    await holds.reserve(late)
    post(ACME, 2, {NOVEMBER: 100}, [])
    assert set(scopes_state(ACME)) == {NOVEMBER}
    assert await holds.settle(late.hold, ACME, 10, 0, b"record")
    fields = client().hgetall(keys_of(ACME).account)
    assert not [field for field in fields if OCTOBER.encode() in field]


async def test_a_scope_that_comes_back_is_counted_anew(holds: HoldsClient) -> None:
    seed(ACME, 1, {NOVEMBER: 100})
    await settled(holds, 30, (NOVEMBER,))
    await holds.reserve(ask(10, scopes=(NOVEMBER,)))
    seed(ACME, 2, {})
    assert scopes_state(ACME) == {}
    post(ACME, 3, {NOVEMBER: 100}, [])
    assert scopes_state(ACME)[NOVEMBER] == ScopeState(100, unposted=30, held=10)


async def test_many_are_seeded_and_posted_in_their_order(holds: HoldsClient) -> None:
    organizations = [uuid4() for _ in range(40)] + [ACME, RIVAL]
    seeds = [Posting(one, 2, {"w": number}) for number, one in enumerate(organizations)]
    assert seed_many(seeds) == [True] * len(seeds)
    stale = [seeds[3]._replace(version=1), Posting(organizations[0], 3, {"w": 1000})]
    assert seed_many(stale) == [False, True]
    posted = [
        Posting(one, 4, {"w": 500}, [await settled(holds, 10, organization=one)])
        for one in organizations[20:]
    ]
    post_many(posted + posted)
    assert [scopes_state(one)["w"] for one in organizations] == [
        ScopeState(1000, 0, 0),
        *(ScopeState(number, 0, 0) for number in range(1, 20)),
        *(ScopeState(500, 0, 0) for _ in organizations[20:]),
    ]


def test_thousands_of_entries_are_counted_and_posted_at_once() -> None:
    pipeline = client().pipeline(transaction=False)
    for _ in range(6000):
        fields = {"r": b"", "n": 1, "s": "w", "h": b"", "o": ACME.hex}
        pipeline.xadd(STREAM, fields)  # type: ignore[arg-type]
    booked = [Posted(entry_id, 1, ("w",)) for entry_id in pipeline.execute()]
    for _ in range(2):
        seed(ACME, 1, {"w": 10_000})
        assert scopes_state(ACME)["w"].unposted == 6000
    post(ACME, 2, {"w": 4_001}, booked[:-1])
    assert scopes_state(ACME)["w"] == ScopeState(4_001, unposted=1, held=0)


async def test_more_than_valkey_can_count_is_all_it_can_count() -> None:
    seed(ACME, 1, {"w": 10**20, NOVEMBER: -(10**20)})
    assert scopes_state(ACME) == {
        "w": ScopeState(MOST, 0, 0), NOVEMBER: ScopeState(-MOST, 0, 0),
    }  # fmt: skip


async def test_a_wrong_posting_fails_before_anything_is_written(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    one = await settled(holds, 30)
    with pytest.raises(redis.ResponseError, match="whole numbers"):
        post(ACME, 2, {"w": 70}, [one, one._replace(actual_nano=-1)])
    assert scopes_state(ACME)["w"] == ScopeState(100, unposted=30, held=0)
    with pytest.raises(HoldInvalid):
        await holds.settle(uuid4(), ACME, -1, 0, b"record", scopes=("w",))
    assert len(entries()) == 1
