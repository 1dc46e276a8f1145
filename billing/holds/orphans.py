"""Holds whose gateway is gone: found, shown and ended. Blocking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from billing.holds.scripts import DONE_S, SETTLE, STAMP, holds_key, keys_of, lease_key
from billing.metering import SHARDS
from tenants.valkey import client

ORPHAN_S: Final = 60
"""A hold may be an orphan from this age on, when its gateway has no lease."""
UNREACHABLE_S: Final = 15 * 60
"""So long the money of an orphan stays held while nobody can say what became of it."""
LONGEST_S: Final = 60 * 60
"""No request takes so long: a hold of this age is an orphan, whatever its gateway."""


class Hold(NamedTuple):
    """One that is open."""

    id: UUID
    organization_id: UUID
    gateway: str
    amount_nano: int
    scopes: tuple[str, ...]
    age_s: int
    is_orphan: bool


class ShardHolds(NamedTuple):
    """The holds of a shard in sum."""

    shard: int
    open: int
    orphans: int


class HoldsSeen(NamedTuple):
    """`held_nano` is by organization, each in its currency."""

    shards: tuple[ShardHolds, ...]
    held_nano: Mapping[UUID, int]

    @property
    def open(self) -> int:
        return sum(shard.open for shard in self.shards)

    @property
    def orphans(self) -> int:
        return sum(shard.orphans for shard in self.shards)


class Settled(NamedTuple):
    """What a spool knew of an orphan: what `HoldsClient.settle` would have been told."""

    actual_nano: int
    tokens: int
    record: bytes


class Reaped(NamedTuple):
    """How many were settled, voided, and left for later."""

    settled: int
    voided: int
    kept: int


class _Kept(msgspec.Struct, array_like=True):
    """The ask of a hold as it is kept."""

    organization: str
    gateway: str
    amount_nano: int
    scopes: tuple[str, ...]
    limits: list[msgspec.Raw]


_decode: Final = msgspec.msgpack.Decoder(_Kept).decode


def holds_read() -> HoldsSeen:
    """The open holds, by shard, and what they hold."""
    shards, held = list[ShardHolds](), Counter[UUID]()
    for shard, holds in _by_shard():
        shards.append(ShardHolds(shard, len(holds), sum(hold.is_orphan for hold in holds)))
        for hold in holds:
            held[hold.organization_id] += hold.amount_nano
    return HoldsSeen(tuple(shards), held)


def running_count(organization_id: UUID) -> int:
    """How many requests of an organization run now."""
    kept: Any = client().hvals(keys_of(organization_id).holds)
    return sum(UUID(_decode(one[STAMP:]).organization) == organization_id for one in kept)


def orphans() -> list[Hold]:
    """The holds whose gateway is gone, oldest first."""
    found = [hold for _, holds in _by_shard() for hold in holds if hold.is_orphan]
    return sorted(found, key=lambda hold: -hold.age_s)


def reap(holds: Sequence[Hold], known: Mapping[UUID, Settled | None]) -> Reaped:
    """End `holds`, which are orphans, by what the spools of their gateways knew of each.

    None: that nothing is to be billed. One that `known` does not name is kept until it is
    UNREACHABLE_S old. What is voided here, a real settle that comes later may still settle.
    """
    counts = {"settled": 0, "voided": 0, "kept": 0}
    for hold in holds:
        what = known.get(hold.id)
        if what is not None:
            counts["settled"] += _end(
                hold, b"s", what.actual_nano, what.tokens, ",".join(hold.scopes), what.record,
                hold.organization_id.hex,
            )  # fmt: skip
        elif hold.id in known or hold.age_s >= UNREACHABLE_S:
            counts["voided"] += _end(hold, b"r")
        else:
            counts["kept"] += 1
    return Reaped(**counts)


def holds_abandon(gateway: str) -> int:
    """Let go of all that `gateway` holds, which is dead and billed all that it began; how many.

    A settle that comes later all the same may still settle.
    """
    mine = [hold for _, holds in _by_shard() for hold in holds if hold.gateway == gateway]
    return sum(_end(hold, b"r") for hold in mine)


def _end(hold: Hold, mark: bytes, *more: bytes | int | str) -> bool:
    keys = keys_of(hold.organization_id)
    done = keys.done + hold.id.bytes
    answer: Any = client().register_script(SETTLE.text)(
        keys=[keys.account, keys.holds, done, keys.stream],
        args=[hold.id.bytes, mark, DONE_S, *more],
    )
    return bool(answer)


def _by_shard() -> Iterator[tuple[int, list[Hold]]]:
    with client().pipeline(transaction=False) as pipeline:
        pipeline.time()
        for shard in range(SHARDS):
            pipeline.hgetall(holds_key(shard))
        (now, _), *found = pipeline.execute()
    parsed = [[_parsed(id_, kept, now) for id_, kept in holds.items()] for holds in found]
    leased = _leased({hold.gateway for holds in parsed for hold in holds})
    for shard, holds in enumerate(parsed):
        yield shard, [hold._replace(is_orphan=_is_orphan(hold, leased)) for hold in holds]


def _parsed(id_: bytes, kept: bytes, now: int) -> Hold:
    ask = _decode(kept[STAMP:])
    return Hold(
        UUID(bytes=id_), UUID(ask.organization), ask.gateway, ask.amount_nano, ask.scopes,
        max(0, now - int(kept[:STAMP])), is_orphan=False,
    )  # fmt: skip


def _is_orphan(hold: Hold, leased: set[str]) -> bool:
    return hold.age_s >= (LONGEST_S if hold.gateway in leased else ORPHAN_S)


def _leased(gateways: set[str]) -> set[str]:
    """Which of `gateways` have a lease."""
    if not gateways:
        return set()
    names = sorted(gateways)
    leases: Any = client().mget([lease_key(name) for name in names])
    return {name for name, lease in zip(names, leases, strict=True) if lease is not None}
