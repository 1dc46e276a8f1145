"""What this process knows of the backends: what is in flight there, and how they do.

All of it is in memory. The pulse brings what other gateways know, and takes what they should.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from inference.routing.breaker import Breaker, Phase
from inference.routing.choice import Candidate, State
from inference.snapshot import Route

BUSY: Final = "busy"
"""The kind of failure of an engine that is there, and takes no more for now."""
LOST_S: Final = 10.0
"""A backend that has been down for so long, after two failed checks, does not stumble: what waits
for it to begin an answer is better asked of another."""
RECOVERED: Final = "the trial succeeded"
MAY_TRY: Final = "one request may try"

_new: Final = tuple.__new__
"""Twice as fast as to call a named tuple."""

log = structlog.get_logger()


class Turn(NamedTuple):
    """A breaker's transition that the other gateways are to be told."""

    phase: Phase
    reason: str


class Seat:
    """One backend. What a request needs is worked out before, at each beat and each change."""

    __slots__ = (
        "backend_id", "breaker", "elsewhere", "is_down", "is_due", "kv_use", "lost_at", "own",
        "share", "state", "waiting",
    )  # fmt: skip

    def __init__(self, backend_id: UUID) -> None:
        self.backend_id = backend_id
        self.breaker = Breaker()
        self.own = self.elsewhere = 0
        self.waiting: int | None = None
        self.kv_use: float | None = None
        self.is_down, self.lost_at = False, inf
        self.state, self.share, self.is_due = State.READY, 1.0, False

    def look(self, now: float) -> None:
        self.share = self.breaker.share(now)
        self.is_due = not self.is_down and self.breaker.is_due(now)
        self.state = self._state(now)

    def _state(self, now: float) -> State:
        if self.is_down:
            return State.DOWN
        if self.breaker.phase is Phase.CLOSED:
            return State.READY
        return State.TRYING if self.breaker.takes_trial(now) else State.OPEN


class Fleet:
    """`on_room` are called when a backend may have room that it had not, `on_turn` when there is
    something in `turns`, `on_lost` when a backend has been down for LOST_S.

    While it `is_alone`, with no word from the others, it decides for itself.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.on_room: list[Callable[[], None]] = []
        self.on_turn: Callable[[], None] = _nothing
        self.on_lost: Callable[[UUID], None] = lambda _: None
        self.turns: dict[UUID, Turn] = {}
        self.is_alone = True
        self._clock = clock
        self._seats: dict[UUID, Seat] = {}
        self._by_route: dict[int, Seat] = {}
        self._known: list[Route] = []

    @property
    def own(self) -> Counter[UUID]:
        """What this process has in flight, where that is anything."""
        return Counter({one.backend_id: one.own for one in self._seats.values() if one.own})

    def candidates(self, routes: Iterable[Route]) -> list[Candidate]:
        found, by_route = [], self._by_route
        for route in routes:
            seat = by_route.get(id(route)) or self._sit(route)
            if seat.is_due:
                self._ask_for_trial(seat)
            in_flight, weight = seat.own + seat.elsewhere, route.weight * seat.share
            values = (route, in_flight, weight, seat.waiting, seat.kv_use, seat.state)
            found.append(_new(Candidate, values))
        return found

    def look(self, route: Route) -> Candidate:
        """As one of `candidates`, for whoever only looks: it asks for no trial."""
        seat = self._seat(route.backend_id)
        in_flight, weight = seat.own + seat.elsewhere, route.weight * seat.share
        return Candidate(route, in_flight, weight, seat.waiting, seat.kv_use, seat.state)

    def in_flight(self, backend_id: UUID) -> int:
        """Requests at a backend, of all gateways."""
        seat = self._seat(backend_id)
        return seat.own + seat.elsewhere

    def breaker(self, backend_id: UUID) -> Breaker:
        return self._seat(backend_id).breaker

    def left_s(self, backend_id: UUID) -> float:
        """How long until its breaker is due."""
        return max(self._seat(backend_id).breaker.until - self._clock(), 0.0)

    def state(self, backend_id: UUID) -> State:
        return self._seat(backend_id).state

    def enter(self, route: Route) -> None:
        seat = self._by_route.get(id(route)) or self._sit(route)
        seat.own += 1
        if seat.state is State.TRYING:
            seat.breaker.is_tried = True
            seat.state = State.OPEN

    def leave(self, route: Route) -> None:
        """Of a trial that ends without a verdict another is made, when all have left."""
        seat = self._by_route.get(id(route)) or self._sit(route)
        seat.own -= 1
        if seat.breaker.is_tried and not seat.own:
            seat.breaker.is_tried = False
            seat.look(self._clock())
        self.tell_room()

    def succeeded(self, route: Route) -> None:
        """The backend answered as it should."""
        seat = self._by_route.get(id(route)) or self._sit(route)
        if seat.breaker.succeeded(self._clock()):
            log.info("breaker.closed", backend=route.backend)
            self._turned(seat, RECOVERED)

    def failed(self, route: Route, kind: str) -> None:
        """The backend failed: `kind` is a word for people and metrics. BUSY opens no breaker."""
        seat, now = self._sit(route), self._clock()
        count = seat.breaker.busy if kind == BUSY else seat.breaker.failed
        if reason := count(now):
            log.warning("breaker.opened", backend=route.backend, reason=reason, kind=kind)
            self._turned(seat, f"{reason}: {kind}")
        elif kind == BUSY:
            seat.look(now)

    def grant(self, backend_id: UUID) -> None:
        """The next request may be the trial: no other gateway makes one."""
        seat, now = self._seat(backend_id), self._clock()
        seat.breaker.half_open(now)
        seat.look(now)

    def adopt(self, backend_id: UUID, phase: Phase, opened: int, left_s: float) -> None:
        """Another gateway turned a breaker; `left_s` is how long its phase has yet to go."""
        seat, now = self._seat(backend_id), self._clock()
        match phase:
            case Phase.OPEN:
                seat.breaker.open(now, opened, left_s)
            case Phase.HALF_OPEN:
                seat.breaker.half_open(now, is_ours=False)
            case Phase.CLOSED:
                seat.breaker.close(now)
        self.turns.pop(backend_id, None)
        seat.look(now)

    def hear(self, elsewhere: Mapping[UUID, int], *, is_alone: bool) -> None:
        """What the other gateways have in flight; then, and by time, all may look different."""
        self.is_alone = is_alone
        now = self._clock()
        for backend_id in elsewhere:
            self._seat(backend_id)
        for seat in self._seats.values():
            seat.elsewhere = elsewhere.get(seat.backend_id, 0)
            seat.look(now)
            if now >= seat.lost_at:
                seat.lost_at = inf
                self.on_lost(seat.backend_id)
        self._by_route.clear()
        self._known.clear()

    def see(
        self, backend_id: UUID, *, is_down: bool, waiting: int | None, kv_use: float | None
    ) -> None:
        """What the prober last said of a backend, as far as it is fresh."""
        seat = self._seat(backend_id)
        if is_down is not seat.is_down:
            seat.lost_at = self._clock() + LOST_S if is_down else inf
        seat.is_down, seat.waiting, seat.kv_use = is_down, waiting, kv_use

    def tell_room(self) -> None:
        for told in self.on_room:
            told()

    def _ask_for_trial(self, seat: Seat) -> None:
        """Somebody wants a backend whose breaker was open for long enough."""
        seat.is_due = False
        if self.is_alone:
            self.grant(seat.backend_id)
        elif seat.backend_id not in self.turns:
            self._tell(seat, Turn(Phase.HALF_OPEN, MAY_TRY))

    def _turned(self, seat: Seat, reason: str) -> None:
        seat.look(self._clock())
        self._tell(seat, Turn(seat.breaker.phase, reason))

    def _tell(self, seat: Seat, turn: Turn) -> None:
        self.turns[seat.backend_id] = turn
        self.on_turn()

    def _sit(self, route: Route) -> Seat:
        """The seat of a route, remembered until the next beat: a UUID takes long to look up."""
        seat = self._by_route[id(route)] = self._seat(route.backend_id)
        self._known.append(route)  # whoever is kept shares its id with no other
        return seat

    def _seat(self, backend_id: UUID) -> Seat:
        return self._seats.get(backend_id) or self._seats.setdefault(backend_id, Seat(backend_id))


def _nothing() -> None:
    pass
