"""What PostgreSQL says goes into the accounts, and how accounts and limits stand. Blocking.

Redis errors pass through: a task is tried again, a page shows that the store is away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import batched, groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from billing.holds.asks import MOST, LimitAsk, LimitState
from billing.holds.scripts import POST, RESERVE, holds_key, keys_of
from billing.metering import shard_of, stream_of
from tenants.valkey import client

GROUP: Final = "ingest"
"""The consumer group of the streams, whose entries a posting acknowledges."""
ENTRIES_MOST: Final = 250
"""Of one call, so that it keeps no gateway waiting for long."""

encode: Final = msgspec.msgpack.Encoder().encode


class Posted(NamedTuple):
    """An entry of the stream that is booked in PostgreSQL."""

    id: bytes
    actual_nano: int
    scopes: tuple[str, ...]


class Posting(NamedTuple):
    """The balances of an organization at `version` of its books, all of them, and what is booked.

    A scope that `balances` does not name has ended and is dropped.
    """

    organization_id: UUID
    version: int
    balances: Mapping[str, int]
    entries: Sequence[Posted] = ()


class ScopeState(NamedTuple):
    """In nano. What is left is `balance - unposted - held`."""

    balance: int
    unposted: int
    held: int


def seed(organization_id: UUID, version: int, balances: Mapping[str, int]) -> bool:
    """Set the balances; False where the account has newer ones, of this run of Valkey.

    What is unposted and held is counted anew, from the stream and the holds themselves.
    """
    return seed_many([Posting(organization_id, version, balances)])[0]


def seed_many(postings: Sequence[Posting]) -> list[bool]:
    """`seed` for many, at the cost of one for each shard: answers in the order of `postings`."""
    return _post(postings, is_recount=True)


def post(
    organization_id: UUID, version: int, balances: Mapping[str, int], entries: Sequence[Posted]
) -> None:
    """Take booked entries off the stream, and set the balances that include them."""
    post_many([Posting(organization_id, version, balances, entries)])


def post_many(postings: Sequence[Posting]) -> None:
    """`post` for many organizations. May be repeated: an entry counts where it is still there."""
    _post([part for posting in postings for part in _parts(posting)], is_recount=False)


def limits_state(organization_id: UUID, limits: Sequence[LimitAsk]) -> list[LimitState]:
    """How `limits` stand; nothing is counted."""
    keys = keys_of(organization_id)
    spec = encode((keys.organization, "", 0, (), limits))
    run = client().register_script(RESERVE.text)
    answer: Any = run(keys=[keys.account, keys.holds, keys.done], args=[b"", b"", spec])
    return [
        LimitState(limit.id, limit.kind, limit.value, answer[n], answer[n + 1] / 1000)
        for n, limit in zip(range(1, len(answer), 2), limits, strict=True)
    ]


def scopes_state(organization_id: UUID) -> dict[str, ScopeState]:
    """The balances as Valkey has them, whether or not they are of this run of it."""
    found: Any = client().hgetall(keys_of(organization_id).account)
    fields = {name.decode(): value for name, value in found.items()}
    scopes = [name[2:] for name in fields if name.startswith("b:")]
    return {
        scope: ScopeState(
            *(int(Decimal(fields.get(f"{part}:{scope}", b"0").decode())) for part in "buh")
        )
        for scope in scopes
    }


def _parts(posting: Posting) -> Iterator[Posting]:
    """Of ENTRIES_MOST each, all with the balances: never are entries taken off before these."""
    if not posting.entries:
        yield posting
    for entries in batched(posting.entries, ENTRIES_MOST, strict=False):
        yield posting._replace(entries=entries)


def _post(postings: Sequence[Posting], *, is_recount: bool) -> list[bool]:
    taken: dict[int, bool] = {}
    with client().pipeline(transaction=False) as pipeline:
        run = pipeline.register_script(POST.text)
        calls = list(_calls(postings))
        for shard, numbers in calls:
            chosen = [postings[number] for number in numbers]
            accounts = [keys_of(posting.organization_id).account for posting in chosen]
            run(
                keys=[stream_of(shard), holds_key(shard), *accounts],
                args=[GROUP, int(is_recount), encode([_book(posting) for posting in chosen])],
                client=pipeline,
            )
        for (_, numbers), answer in zip(calls, pipeline.execute(), strict=True):
            taken |= {n: bool(one) for n, one in zip(numbers, answer, strict=True)}
    return [taken[number] for number in range(len(postings))]


def _calls(postings: Sequence[Posting]) -> Iterator[tuple[int, list[int]]]:
    """The shard of each call and the numbers of its postings: no organization twice in a call."""
    order = sorted(
        range(len(postings)), key=lambda number: shard_of(postings[number].organization_id)
    )
    for shard, numbers in groupby(order, lambda n: shard_of(postings[n].organization_id)):
        seen: set[UUID] = set()
        call: list[int] = []
        entries = 0
        for number in numbers:
            posting = postings[number]
            entries += len(posting.entries)
            if posting.organization_id in seen or (call and entries > ENTRIES_MOST):
                yield shard, call
                seen, call, entries = set(), [], len(posting.entries)
            seen.add(posting.organization_id)
            call.append(number)
        yield shard, call


def _book(posting: Posting) -> tuple[object, ...]:
    return (
        keys_of(posting.organization_id).organization,
        posting.version,
        [(scope, _capped(nano)) for scope, nano in posting.balances.items()],
        [(entry.id.decode(), *entry[1:]) for entry in posting.entries],
    )


def _capped(nano: int) -> int:
    """Beyond MOST the scripts would not be exact; it is the safe side, and nine million EUR."""
    return max(-MOST, min(MOST, nano))
