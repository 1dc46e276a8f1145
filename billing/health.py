"""Whether metering is well: what waits, what was set aside, what is held, what does not add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import redis
from django.utils import timezone

from billing.holds import HoldsSeen, holds_read
from billing.ingest import DEAD_STREAM
from billing.leases import LeasesSeen, leases_seen
from billing.ledger.check import CHECKED_KEY
from billing.metering import STREAMS
from billing.models import Drift, ModelHalt
from billing.reconcile import RECONCILED
from tenants.valkey import client

GATEWAYS: Final = "fleet:gateways"
"""A hash, by the ids of the gateways that speak; each tells of its spool at `spool:<id>`."""
DRIFTS: Final = timedelta(days=35)


class SpoolSeen(msgspec.Struct, frozen=True):
    """What a gateway has on its disk. Of it `waiting` records wait for Valkey, the oldest since
    `oldest_s`. While it is `closed_by` its disk, which is slow, full or broken, its gateway refuses
    requests.
    """

    segments: int
    bytes: int
    waiting: int
    oldest_s: float
    at: datetime
    closed_by: str | None = None
    gateway: str = ""


class BooksChecked(msgspec.Struct, frozen=True):
    """The last time that all balances were computed anew from the transfers."""

    at: datetime
    differences: int


class Waiting(NamedTuple):
    """So many records wait to be booked, the oldest since `lag_s` seconds."""

    records: int
    lag_s: float


@dataclass(frozen=True, slots=True)
class MeteringHealth:
    """`holds` is None, and the counts are 0, while Valkey `is_away`."""

    is_away: bool
    waiting: int
    lag_s: float
    set_aside: int
    holds: HoldsSeen | None
    spools: Sequence[SpoolSeen]
    halts: Sequence[ModelHalt]
    drifts: Sequence[Drift]
    reconciled_at: datetime | None
    books: BooksChecked | None
    leases: LeasesSeen


def metering_health() -> MeteringHealth:
    halts = list(ModelHalt.objects.filter(released_at=None))
    drifts = list(Drift.objects.filter(seen_at__gte=timezone.now() - DRIFTS)[:100])
    leases = leases_seen()
    try:
        waiting = waiting_read()
        set_aside: Any = client().xlen(DEAD_STREAM)
        checked, reconciled = _checked()
        return MeteringHealth(
            False, *waiting, set_aside, holds_read(), _spools(), halts, drifts, reconciled, checked,
            leases,
        )  # fmt: skip
    except redis.RedisError:
        return MeteringHealth(True, 0, 0, 0, None, (), halts, drifts, None, None, leases)


def waiting_read() -> Waiting:
    """Over all streams."""
    with client().pipeline(transaction=False) as pipe:
        for stream in STREAMS:
            pipe.xlen(stream)
            pipe.xrange(stream, count=1)
        answers: list[Any] = pipe.execute()
    oldest = [_moment(entries[0][0]) for entries in answers[1::2] if entries]
    lag_s = (timezone.now() - min(oldest)).total_seconds() if oldest else 0
    return Waiting(sum(answers[::2]), max(lag_s, 0))


def _moment(entry: bytes) -> datetime:
    return datetime.fromtimestamp(int(entry.partition(b"-")[0]) / 1000, UTC)


def books_checked() -> BooksChecked | None:
    """None while the books were never looked through, or Valkey is away."""
    try:
        return _checked()[0]
    except redis.RedisError:
        return None


def _checked() -> tuple[BooksChecked | None, datetime | None]:
    found: Any = client().mget([CHECKED_KEY, RECONCILED])
    books, reconciled = found
    return (
        msgspec.json.decode(books, type=BooksChecked) if books else None,
        datetime.fromisoformat(reconciled.decode()) if reconciled else None,
    )


def _spools() -> list[SpoolSeen]:
    gateways: Any = client().hkeys(GATEWAYS)
    names = sorted(gateway.decode() for gateway in gateways)
    said: Any = client().mget([f"spool:{name}" for name in names]) if names else []
    return [_spool(name, one) for name, one in zip(names, said, strict=True) if one]


def _spool(gateway: str, said: bytes) -> SpoolSeen:
    return msgspec.structs.replace(msgspec.json.decode(said, type=SpoolSeen), gateway=gateway)
