"""What gateway processes tell each other: what is in flight, whose breaker turned, who is down.

Nobody's clock is trusted but our own: what others write is as old as it was last seen to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from inference.gateway.fleet import Fleet, Turn
from inference.live.seen import (
    BREAKERS,
    CHECK_COUNTS_S,
    DAY_S,
    TIMELINE_KEPT_S,
    TRANSITIONS_KEPT,
    BackendSaid,
    BreakerSaid,
    GatewaySaid,
    breaker_decode,
    encode,
    timeline_key,
)
from inference.routing.breaker import OPEN_MOST_S, TRIAL_S, Phase

SILENT_S: Final = 2.0
"""What a gateway said counts for so long; then its requests are taken to be over."""
GONE_S: Final = 10.0
"""Then what it said is thrown away."""
LOAD_KEPT_S: Final = 3.5
"""Three scrapes of an engine, and the way here."""

_TURN: Final = """
local was = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if was ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[9])
if ARGV[4] ~= '' then
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[7], '*',
    'state', ARGV[4], 'reason', ARGV[5], 'gateway', ARGV[6])
  redis.call('EXPIRE', KEYS[2], ARGV[8])
end
return 1
"""
"""Turns a breaker if it is still as this gateway saw it last, so that one of many does."""

type Hash = Mapping[bytes, bytes]
type Command = tuple[str | bytes | int, ...]


class Ages:
    """Since when values are what they are, as far as we saw."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def of(self, key: Hashable, value: Hashable, now: float) -> float:
        """For how many seconds `key` has had that value."""
        before, since = self._seen.get(key, (None, now))
        if before != value:
            since = now
            self._seen[key] = value, since
        return now - since

    def keep(self, keys: Iterable[Hashable]) -> None:
        """Forget all others."""
        self._seen = {key: self._seen[key] for key in keys if key in self._seen}


class Neighbours:
    """The other gateways. `gone` are those that said nothing for long."""

    def __init__(self, own_id: bytes) -> None:
        self._own_id, self._ages = own_id, Ages()
        self.gone: list[bytes] = []

    def in_flight(self, gateways: Mapping[bytes, GatewaySaid], now: float) -> Counter[UUID]:
        """Of all that live, by backend."""
        sums = Counter[UUID]()
        self.gone = []
        for name, said in gateways.items():
            age_s = self._ages.of(name, said.beat, now)
            if age_s > GONE_S:
                self.gone.append(name)
            elif name != self._own_id and age_s <= SILENT_S:
                sums.update(said.in_flight)
        self._ages.keep(gateways)
        return sums


class Sightings:
    """What the prober says of the backends."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._checks, self._loads = fleet, Ages(), Ages()
        self._seen = frozenset[UUID]()

    def hear(self, backends: Mapping[UUID, BackendSaid], now: float) -> None:
        for backend_id, said in backends.items():
            check_age_s = self._checks.of(backend_id, said.check and said.check.at, now)
            load_age_s = self._loads.of(backend_id, said.load and said.load.at, now)
            load = said.load if load_age_s <= LOAD_KEPT_S else None
            self._fleet.see(
                backend_id,
                is_down=said.is_down and check_age_s <= CHECK_COUNTS_S,
                waiting=load.waiting if load else None,
                kv_use=load.kv_use if load else None,
            )
        for backend_id in self._seen - backends.keys():
            self._fleet.see(backend_id, is_down=False, waiting=None, kv_use=None)
        self._seen = frozenset(backends)
        self._checks.keep(backends)
        self._loads.keep(backends)


class Told(NamedTuple):
    """A transition on its way to the others."""

    backend_id: UUID
    turn: Turn
    said: bytes


class SharedBreakers:
    """A breaker that turns here turns everywhere."""

    def __init__(self, fleet: Fleet, own_id: str) -> None:
        self._fleet, self._own_id = fleet, own_id
        self._seen: dict[UUID, bytes] = {}

    def to_tell(self) -> list[Told]:
        return [
            Told(backend_id, turn, self._said(backend_id, turn.phase))
            for backend_id, turn in self._fleet.turns.items()
        ]

    def command(self, told: Told) -> Command:
        """It answers 1, or 0 when another gateway was first."""
        was = self._seen.get(told.backend_id, b"")
        again = was and told.turn.phase == Phase.HALF_OPEN == breaker_decode(was).phase
        return (
            "EVAL", _TURN, 2, BREAKERS, timeline_key(told.backend_id), str(told.backend_id),
            was, told.said, "" if again else told.turn.phase, told.turn.reason, self._own_id,
            TRANSITIONS_KEPT, TIMELINE_KEPT_S, DAY_S,
        )  # fmt: skip

    def was_told(self, told: Told) -> None:
        """The others know of it."""
        self._seen[told.backend_id] = told.said
        if self._fleet.turns.get(told.backend_id) is told.turn:
            del self._fleet.turns[told.backend_id]
        if told.turn.phase is Phase.HALF_OPEN:
            self._fleet.grant(told.backend_id)

    def hear(self, breakers: Mapping[UUID, bytes]) -> None:
        for backend_id, said in breakers.items():
            if self._seen.get(backend_id) != said:
                self._adopt(backend_id, breaker_decode(said))
        self._seen = dict(breakers)

    def _adopt(self, backend_id: UUID, said: BreakerSaid) -> None:
        phase, is_closed = Phase(said.phase), self._fleet.breaker(backend_id).phase is Phase.CLOSED
        if phase is Phase.HALF_OPEN and said.gateway == self._own_id:
            self._fleet.grant(backend_id)
        elif not (phase is Phase.CLOSED and is_closed):
            left_s = (said.until - datetime.now(UTC)).total_seconds() if said.until else 0.0
            self._fleet.adopt(backend_id, phase, said.opened, min(max(left_s, 0.0), OPEN_MOST_S))

    def _said(self, backend_id: UUID, phase: Phase) -> bytes:
        now = datetime.now(UTC)
        left_s = TRIAL_S if phase is Phase.HALF_OPEN else self._fleet.left_s(backend_id)
        until = None if phase is Phase.CLOSED else now + timedelta(seconds=left_s)
        opened = self._fleet.breaker(backend_id).opened
        return encode(BreakerSaid(phase, now, until, opened, self._own_id))
