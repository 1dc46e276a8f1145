"""What goes wrong with a request, by the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Final

from console.fakestripe.http import Request


class Fault(Enum):
    """What the client sees differs from what was done."""

    DROPPED = "the request never arrives"
    ANSWER_LOST = "it is done, and its answer never arrives"
    CUT_OFF = "it is done, and its answer arrives in part"
    FAILED_BEFORE = "500, kept for its key, and nothing was done"
    FAILED_AFTER = "500, kept for its key, and it was done"
    TOO_MANY = "429, and nothing was done"
    STALLED = "no answer in time, and it is done later"


Faults = Callable[[Request, float], Fault | None]
"""Given a request and the time, what goes wrong with it."""

ALL: Final = tuple(Fault)
READING: Final = (Fault.DROPPED, Fault.ANSWER_LOST, Fault.CUT_OFF, Fault.TOO_MANY)
"""What can happen to requests that change nothing, beside 500s."""


def no_faults(request: Request, now: float) -> Fault | None:
    return None


class SeededFaults:
    """A share of all requests go wrong, and within `outages` (start, end) none arrives.

    `count` says how many went wrong until now, outages aside."""

    def __init__(
        self, seed: int, share: float = 0.3, outages: Sequence[tuple[float, float]] = ()
    ) -> None:
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self.share, self.outages, self.count, self.out = share, outages, 0, 0

    def __call__(self, request: Request, now: float) -> Fault | None:
        if any(start <= now < end for start, end in self.outages):
            self.out += 1
            return Fault.DROPPED
        if self._random.random() >= self.share:
            return None
        self.count += 1
        return self._random.choice(ALL if request.method == "POST" else READING)
