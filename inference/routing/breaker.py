"""When a backend that fails is left alone, and how it comes back: a state machine without a clock.

Closed: all may go there. It opens when failures come in a row or are most of many. Open: none may.
After a while somebody makes it half-open, and one request may try: a success closes it, and its
share of the work grows back; a failure opens it for twice as long.

A success is an answer, or a 4xx that is the customer's fault. Whoever leaves early counts as
nothing. An engine that says it is busy lives, so that alone opens nothing, but it gets less.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import Final

IN_A_ROW: Final = 5
"""Failures. An engine that is gone is left after as many requests; chance alone hardly does it:
of 1 % bad requests that come by themselves five meet once in 10 billion."""
WINDOW_S: Final = 30.0
"""Long enough to see ten requests of a model with little traffic, short enough to forget."""
LEAST_SEEN: Final = 10
"""Fewer requests within the window say nothing of a rate."""
TOO_MANY: Final = 0.5
"""The share that fails: above it a request does better elsewhere, whatever the load there."""
OPEN_S: Final = 15.0
"""The first time: an engine that stumbled is back, and three of its checks were made."""
OPEN_MOST_S: Final = 300.0
"""The doubling ends where an operator who mended it would lose patience."""
TRIAL_S: Final = 30.0
"""A trial without a verdict by then is given up, and another may be made."""
RAMP_S: Final = 30.0
"""A fresh engine has cold caches and kernels to compile; ten times a few seconds of prefill."""
RAMP_FROM: Final = 0.1
"""Its share of the work at first."""

_SLOTS: Final = 10
_SLOT_S: Final = WINDOW_S / _SLOTS


class Phase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Of one backend. `now` is in seconds of any clock that only goes forward.

    `until` is when it is due for a trial: the end of OPEN, or of a trial nobody heard of again.
    `opened` counts how often in a row it opened, without closing in between.
    """

    __slots__ = (
        "_bad", "_good", "_is_ours", "_ramp_at", "_row", "_slot", "is_tried", "opened", "phase",
        "since", "until",
    )  # fmt: skip

    def __init__(self) -> None:
        self.phase, self.since, self.until, self.opened = Phase.CLOSED, -inf, inf, 0
        self.is_tried = False
        self._is_ours, self._ramp_at, self._row, self._slot = False, -inf, 0, 0
        self._good, self._bad = [0] * _SLOTS, [0] * _SLOTS

    def succeeded(self, now: float) -> bool:
        """Count an answer. Whether it closed the breaker."""
        if self.phase is Phase.CLOSED:
            self._row = 0
            self._good[self._at(now)] += 1
            return False
        if self.phase is Phase.OPEN:
            return False  # of a request from before
        self.close(now)
        return True

    def failed(self, now: float) -> str:
        """Count a failure. Why it opened the breaker, in a few words; empty when it did not."""
        if self.phase is Phase.OPEN:
            return ""
        reason = "the trial failed" if self.phase is Phase.HALF_OPEN else self._verdict(now)
        if reason:
            self.open(now, self.opened + 1)
        return reason

    def busy(self, now: float) -> str:
        """The engine takes no more for now. As `failed`: it fails a trial, else it gets less."""
        if self.phase is Phase.HALF_OPEN:
            return self.failed(now)
        self._ramp_at = now
        return ""

    def share(self, now: float) -> float:
        """How much of its weight it should have, from RAMP_FROM to 1."""
        return share_after(now - self._ramp_at)

    def is_due(self, now: float) -> bool:
        """Whether somebody may make it half-open, or again."""
        return self.phase is not Phase.CLOSED and now >= self.until

    def takes_trial(self, now: float) -> bool:
        """Whether the next request may be the one that tries."""
        mine = self.phase is Phase.HALF_OPEN and self._is_ours
        return mine and not self.is_tried and now < self.until

    def open(self, now: float, opened: int, for_s: float | None = None) -> None:
        self._turn(Phase.OPEN, now)
        self.opened = opened
        self.until = now + (open_s(opened) if for_s is None else for_s)

    def half_open(self, now: float, *, is_ours: bool = True) -> None:
        """One request may try: of this process, or of another when it is not `is_ours`."""
        self._turn(Phase.HALF_OPEN, now)
        self._is_ours, self.until = is_ours, now + TRIAL_S

    def close(self, now: float) -> None:
        self._turn(Phase.CLOSED, now)
        self._ramp_at, self.until, self.opened = now, inf, 0

    def _turn(self, phase: Phase, now: float) -> None:
        """Into a new phase, with nothing counted yet."""
        self.phase, self.since = phase, now
        self.is_tried, self._is_ours, self._row = False, False, 0
        self._good, self._bad = [0] * _SLOTS, [0] * _SLOTS

    def _verdict(self, now: float) -> str:
        self._row += 1
        self._bad[self._at(now)] += 1
        bad = sum(self._bad)
        seen = bad + sum(self._good)
        if self._row >= IN_A_ROW:
            return f"{self._row} failures in a row"
        if seen >= LEAST_SEEN and bad > TOO_MANY * seen:
            return f"{bad} of {seen} failed"
        return ""

    def _at(self, now: float) -> int:
        """The index of the slot of `now`; those gone round since the last call are empty again."""
        slot = int(now / _SLOT_S)
        for passed in range(max(self._slot, slot - _SLOTS) + 1, slot + 1):
            self._good[passed % _SLOTS] = self._bad[passed % _SLOTS] = 0
        self._slot = slot
        return slot % _SLOTS


def share_after(back_s: float) -> float:
    """How much of its weight a backend should have that came back so long ago."""
    gone = back_s / RAMP_S
    return 1.0 if gone >= 1 else RAMP_FROM + (1 - RAMP_FROM) * gone


def open_s(opened: int) -> float:
    """How long it stays open, the `opened`th time in a row."""
    return min(OPEN_S * 2.0 ** min(opened - 1, 10), OPEN_MOST_S)
