"""The choice of a backend among those that could take a request."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

from inference.routing.affinity import draw
from inference.snapshot import Route

BOUND: Final = 1.25
"""Affinity puts no backend above this times its share of all that is in flight, and one more."""
MANY: Final = 8
"""Among more backends the better of two is nearly as good as the best, and processes that know
the same do not all run to the same one."""
MOST_WAITING: Final = 5
MOST_KV_USE: Final = 0.8
"""From either on an engine is saturated: what comes later waits, or puts out what is running."""
_MIDDLE: Final = 0.5


class State(StrEnum):
    """Whether a backend may be asked. One that is TRYING takes a single request, to find out;
    OPEN are those whose breaker is, DOWN those that do not answer checks.
    """

    READY = "ready"
    TRYING = "trying"
    OPEN = "open"
    DOWN = "down"


_BADNESS: Final = {State.READY: 0, State.TRYING: 1, State.OPEN: 2, State.DOWN: 3}
"""Behind an open breaker something still answers checks, so it may answer a request."""


class Candidate(NamedTuple):
    """A backend that could take a request, and what is known of it now.

    `in_flight` is of all gateways. `weight` is that of the route, less while it comes back.
    `waiting` requests and the share `kv_use` of the cache (0 to 1) are what the engine told last;
    None when it did not, or too long ago.
    """

    route: Route
    in_flight: int
    weight: float
    waiting: int | None
    kv_use: float | None
    state: State


class Reason(StrEnum):
    """Why a backend was chosen, or none. ONLY: no other could take the request."""

    ONLY = "only"
    TRIAL = "trial"
    AFFINITY = "affinity"
    LEAST_LOADED = "least loaded"
    LEAST_BAD = "least bad"
    FULL = "full"


class Decision(NamedTuple):
    """`route` is None when all that could are full."""

    route: Route | None
    reason: Reason


def choose(
    candidates: Sequence[Candidate],
    affinity: int | None,
    chance: Callable[[], float] = random.random,
) -> Decision:
    """The best of `candidates`, of which there is at least one; `chance` is from 0 to 1.

    A trial goes first, for without it a backend would never come back. Those that are ready are
    waited for while they are full. When none is, the least bad is asked: to refuse everything is
    worse than to try.
    """
    roomy = [one for one in candidates if saturation(one) < 1]
    ready = [one for one in roomy if one.state is State.READY]
    if len(ready) < len(roomy):
        for one in roomy:
            if one.state is State.TRYING:
                return Decision(one.route, Reason.TRIAL)
    if ready:
        return _best(ready, affinity, chance)
    if not roomy or any(one.state is State.READY for one in candidates):
        return Decision(None, Reason.FULL)
    least_bad = min(roomy, key=lambda one: (_BADNESS[one.state], load(one, chance())))
    return Decision(least_bad.route, Reason.LEAST_BAD)


def _best(
    ready: Sequence[Candidate], affinity: int | None, chance: Callable[[], float]
) -> Decision:
    if len(ready) == 1:
        return Decision(ready[0].route, Reason.ONLY)
    if affinity is not None:
        return Decision(_own(ready, affinity).route, Reason.AFFINITY)
    if len(ready) > MANY:
        ready = random.sample(ready, 2)
    return Decision(min(ready, key=lambda one: load(one, chance())).route, Reason.LEAST_LOADED)


def _own(ready: Sequence[Candidate], affinity: int) -> Candidate:
    """The first in the order of their draws that stays within its bound.

    There always is one: some backend has no more than its share.
    """
    per_weight = _bound_per_weight(ready)
    best, highest = ready[0], -1.0
    for one in ready:
        if one.in_flight <= per_weight * one.weight:
            drawn = _drawn(one, affinity)
            if drawn > highest:
                best, highest = one, drawn
    return best


def _drawn(candidate: Candidate, affinity: int) -> float:
    return draw(affinity, candidate.route.backend_id, candidate.weight)


def _bound_per_weight(ready: Sequence[Candidate]) -> float:
    """For each unit of weight, how much may be in flight already where the next request goes."""
    in_flight, weight = 1, 0.0
    for one in ready:
        in_flight += one.in_flight
        weight += one.weight
    return BOUND * in_flight / weight


def saturation(candidate: Candidate) -> float:
    """How full a backend is; from 1 on it takes no more. What its engine does not tell is unknown,
    and not 0: then the requests in flight count alone.
    """
    route, in_flight, _weight, waiting, kv_use, _state = candidate
    most = in_flight / route.max_in_flight
    if waiting is not None:
        most = max(most, waiting / MOST_WAITING)
    return most if kv_use is None else max(most, kv_use / MOST_KV_USE)


def load(candidate: Candidate, chance: float = _MIDDLE) -> float:
    """How much a backend has to do for its weight, the next request included; the least is best.

    A request takes a slot as long as the inverse of the weight, and stands at `chance` within it:
    so equals take turns by chance, and a heavier one is the likelier even where nothing runs.
    """
    return (candidate.in_flight + (candidate.waiting or 0) + chance) / candidate.weight


class Verdict(StrEnum):
    """What stands for or against a backend, in the order in which they are asked.

    BUSIER are those that affinity passes by, to keep the loads even.
    """

    TRIAL = "trial"
    READY = "ready"
    BUSIER = "busier"
    OPEN = "open"
    DOWN = "down"
    FULL = "full"
    SATURATED = "saturated"


_VERDICTS: Final = {
    State.READY: Verdict.READY,
    State.TRYING: Verdict.TRIAL,
    State.OPEN: Verdict.OPEN,
    State.DOWN: Verdict.DOWN,
}
_ORDER: Final = {verdict: order for order, verdict in enumerate(Verdict)}


class Scored(NamedTuple):
    """A candidate as `choose` sees it. `score` is its load, the least is best. `place` is where it
    stands in the order of affinity, if that decides. `rank` 1 is chosen, but for chance between
    equals; those with None cannot be.
    """

    candidate: Candidate
    score: float
    place: int | None
    rank: int | None
    verdict: Verdict


def explain(candidates: Sequence[Candidate], affinity: int | None) -> list[Scored]:
    """What `choose` makes of each candidate, the best first.

    Where more than MANY are ready, `choose` looks at two of them only.
    """
    ready = [one for one in candidates if _standing(one) is Verdict.READY]
    own, most = list[Candidate](), inf
    if affinity is not None and ready:
        own = sorted(ready, key=lambda one: -_drawn(one, affinity))
        most = _bound_per_weight(ready)
    scored = [_scored(one, own, most) for one in candidates]
    scored.sort(key=_preference)
    is_any_ready = any(one.state is State.READY for one in candidates)
    last = _ORDER[Verdict.BUSIER if is_any_ready else Verdict.DOWN]
    return [
        one._replace(rank=rank) if _ORDER[one.verdict] <= last else one
        for rank, one in enumerate(scored, 1)
    ]


def _preference(scored: Scored) -> tuple[int, float]:
    """Of trials the first is as good as any."""
    within = 0 if scored.verdict is Verdict.TRIAL else scored.place or scored.score
    return _ORDER[scored.verdict], within


def _scored(candidate: Candidate, own: Sequence[Candidate], most: float) -> Scored:
    verdict = _standing(candidate)
    if verdict is Verdict.READY and candidate.in_flight > most * candidate.weight:
        verdict = Verdict.BUSIER
    place = own.index(candidate) + 1 if candidate in own else None
    return Scored(candidate, load(candidate), place, None, verdict)


def _standing(candidate: Candidate) -> Verdict:
    """What is to be said of a candidate alone."""
    if candidate.in_flight >= candidate.route.max_in_flight:
        return Verdict.FULL
    return Verdict.SATURATED if saturation(candidate) >= 1 else _VERDICTS[candidate.state]
