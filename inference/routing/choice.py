"""The choice of a backend among those that could take a request."""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from inference.snapshot import Route


class State(StrEnum):
    """Whether a backend may be asked. One that is TRYING takes a single request, to find out."""

    READY = "ready"
    TRYING = "trying"
    OPEN = "open"
    DOWN = "down"


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
    """Why a backend was chosen, or none."""

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


def choose(candidates: Sequence[Candidate], affinity: int | None) -> Decision:
    """The best of `candidates`, of which there is at least one."""
    healthy = [one for one in candidates if one.state is State.READY]
    best = min(healthy or candidates, key=_load)
    return Decision(best.route, Reason.LEAST_LOADED if healthy else Reason.LEAST_BAD)


def _load(candidate: Candidate) -> tuple[float, float]:
    """Equals take turns by chance."""
    return (candidate.in_flight + 1) / candidate.weight, random.random()  # noqa: S311
