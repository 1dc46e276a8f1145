"""The backends as the gateways see them now, and what waits for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from inference.live.reading import text_of, tolerant
from inference.live.seen import (
    BACKENDS,
    BREAKERS,
    CHECK_COUNTS_S,
    GATEWAYS,
    TIMELINE_KEPT_S,
    BackendSaid,
    BreakerSaid,
    BreakerSeen,
    CheckSeen,
    GatewaySaid,
    LoadSeen,
    QueueSeen,
    Transition,
    backend_decode,
    breaker_decode,
    check_decode,
    checks_key,
    gateway_decode,
    timeline_key,
)
from inference.routing.breaker import RAMP_S, Phase
from tenants.valkey import client

GONE_AFTER: Final = timedelta(seconds=5)
"""A gateway speaks four times a second, and the one that probes once; past this they are gone."""


@dataclass(frozen=True, slots=True)
class BackendLive:
    """`in_flight` is of all gateways. `check` is the last one, however old, `load` only a fresh
    one. `is_down` is when checks took it out: the gateways send nothing there.
    """

    in_flight: int
    check: CheckSeen | None
    breaker: BreakerSeen
    load: LoadSeen | None
    is_down: bool


NOT_SEEN: Final = BackendLive(0, None, BreakerSeen(Phase.CLOSED), None, is_down=False)
"""A backend that no gateway said anything of."""


@tolerant(dict[UUID, BackendLive])
def fleet_live() -> dict[UUID, BackendLive]:
    """Every backend of which something is known, in one round trip."""
    now = timezone.now()
    with client().pipeline(transaction=False) as pipe:
        for key in (GATEWAYS, BREAKERS, BACKENDS):
            pipe.hgetall(key)
        gateways, breakers, backends = pipe.execute()
    in_flight = _in_flight(_living(gateways, now))
    said = {_id(key): backend_decode(value) for key, value in backends.items()}
    broke = {_id(key): breaker_decode(value) for key, value in breakers.items()}
    return {
        one: _live(in_flight.get(one, 0), said.get(one), broke.get(one), now)
        for one in {*in_flight, *said, *broke}
    }


@tolerant(dict[str, int])
def in_flight_read() -> dict[str, int]:
    """Requests in flight by backend id, over all gateways alive."""
    gateways = _living(_hash(GATEWAYS), timezone.now())
    return {str(backend): count for backend, count in _in_flight(gateways).items()}


@tolerant(frozenset[UUID])
def down_read() -> frozenset[UUID]:
    """The backends that checks took out: the gateways send nothing there."""
    now = timezone.now()
    said = {_id(key): backend_decode(value) for key, value in _hash(BACKENDS).items()}
    return frozenset(backend for backend, one in said.items() if _is_down(one, now))


@tolerant(list[QueueSeen])
def queues_read() -> list[QueueSeen]:
    """What each organization has at each model, over all gateways; the longest queue first."""
    rows = defaultdict[tuple[str, UUID], list[QueueSeen]](list)
    for gateway in _living(_hash(GATEWAYS), timezone.now()):
        for row in gateway.queues:
            rows[row.model, row.organization_id].append(row)
    return sorted(map(_together, rows.values()), key=lambda row: (-row.waiting, -row.in_flight))


@tolerant(list[CheckSeen])
def checks_read(backend_id: UUID, limit: int = 20) -> list[CheckSeen]:
    """The last active checks of a backend, newest first."""
    return [check_decode(one) for one in client().lrange(checks_key(backend_id), 0, limit - 1)]


@tolerant(list[Transition])
def timeline_read(backend_id: UUID, limit: int = 50) -> list[Transition]:
    """When a breaker turned, and when checks took the backend out and in; newest first."""
    oldest = timezone.now() - timedelta(seconds=TIMELINE_KEPT_S)
    first = f"{round(oldest.timestamp() * 1000)}-0"
    entries: Any = client().xrevrange(timeline_key(backend_id), min=first, count=limit)
    return [_transition(text_of(entry), fields) for entry, fields in entries]


def _hash(key: str) -> Mapping[bytes, bytes]:
    found: Any = client().hgetall(key)
    return dict(found)


def _living(gateways: Mapping[bytes, bytes], now: datetime) -> list[GatewaySaid]:
    said = map(gateway_decode, gateways.values())
    return [gateway for gateway in said if now - gateway.at < GONE_AFTER]


def _in_flight(gateways: Iterable[GatewaySaid]) -> dict[UUID, int]:
    sums = defaultdict[UUID, int](int)
    for gateway in gateways:
        for backend, count in gateway.in_flight.items():
            sums[backend] += count
    return dict(sums)


def _live(
    in_flight: int, said: BackendSaid | None, broke: BreakerSaid | None, now: datetime
) -> BackendLive:
    said = said or BackendSaid()
    load = said.load if said.load and now - said.load.at < GONE_AFTER else None
    breaker = _breaker(broke, now) if broke else NOT_SEEN.breaker
    return BackendLive(in_flight, said.check, breaker, load, _is_down(said, now))


def _is_down(said: BackendSaid, now: datetime) -> bool:
    checked = said.check and now - said.check.at < timedelta(seconds=CHECK_COUNTS_S)
    return said.is_down and bool(checked)


def _breaker(said: BreakerSaid, now: datetime) -> BreakerSeen:
    ramped_at = said.since + timedelta(seconds=RAMP_S)
    if said.phase == Phase.CLOSED and now < ramped_at:
        return BreakerSeen("ramping", said.since, ramped_at)
    return BreakerSeen(said.phase, said.since, said.until)


def _together(rows: list[QueueSeen]) -> QueueSeen:
    """The same queue as several gateways have it."""
    return QueueSeen(
        model=rows[0].model,
        organization_id=rows[0].organization_id,
        waiting=sum(row.waiting for row in rows),
        oldest_s=max(row.oldest_s for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        share=rows[0].share,
    )


def _transition(entry: str, fields: Mapping[bytes, bytes]) -> Transition:
    at = datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC)
    return Transition(at, *(text_of(fields[name]) for name in (b"state", b"reason", b"gateway")))


def _id(key: bytes) -> UUID:
    return UUID(text_of(key))
