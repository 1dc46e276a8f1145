from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.routing.breaker import (
    IN_A_ROW,
    LEAST_SEEN,
    OPEN_MOST_S,
    OPEN_S,
    RAMP_FROM,
    RAMP_S,
    TOO_MANY,
    TRIAL_S,
    WINDOW_S,
    Breaker,
    Phase,
    open_s,
)

SLOT_S = WINDOW_S / 10


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(IN_A_ROW):
        breaker.failed(now)
    assert breaker.phase is Phase.OPEN
    return breaker


def test_a_row_of_failures_opens_and_one_less_does_not() -> None:
    breaker = Breaker()
    reasons = [breaker.failed(0) for _ in range(IN_A_ROW)]
    assert reasons == [""] * (IN_A_ROW - 1) + ["5 failures in a row"]


def test_an_answer_breaks_the_row() -> None:
    breaker = Breaker()
    for _ in range(IN_A_ROW - 1):
        breaker.failed(0)
    breaker.succeeded(0)
    assert breaker.failed(0) == ""


def test_more_than_half_of_ten_opens() -> None:
    breaker = Breaker()
    for second in range(4):
        breaker.succeeded(second)
        breaker.failed(second)
    breaker.failed(5)
    assert breaker.failed(6) == "6 of 10 failed"


def test_failures_are_forgotten_past_the_window() -> None:
    breaker = Breaker()
    for second in range(8):
        breaker.failed(second)
        breaker.succeeded(second)
    for _ in range(4):
        assert breaker.failed(8 + WINDOW_S) == ""


def test_nothing_said_while_it_is_open_counts() -> None:
    breaker = opened()
    assert not breaker.succeeded(1)
    assert breaker.failed(1) == ""
    assert (breaker.phase, breaker.until) == (Phase.OPEN, OPEN_S)


def test_a_success_of_the_trial_closes_and_the_share_grows_back() -> None:
    breaker = opened()
    breaker.half_open(OPEN_S)
    assert breaker.succeeded(20)
    assert breaker.phase is Phase.CLOSED
    shares = [breaker.share(20 + gone * RAMP_S) for gone in (0, 0.5, 1, 2)]
    assert shares == pytest.approx([RAMP_FROM, 0.55, 1, 1])


def test_each_failed_trial_doubles_the_time_up_to_a_limit() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(7):
        waits.append(breaker.until - now)
        now = breaker.until
        breaker.half_open(now)
        assert breaker.failed(now) == "the trial failed"
    assert waits == [15, 30, 60, 120, 240, 300, 300]


def test_a_trial_nobody_hears_of_is_due_again() -> None:
    breaker = opened()
    breaker.half_open(20)
    breaker.is_tried = True
    assert not breaker.is_due(20 + TRIAL_S - 1)
    assert breaker.is_due(20 + TRIAL_S)


def test_a_trial_of_another_process_lets_nothing_through_here() -> None:
    breaker = opened()
    breaker.half_open(20, is_ours=False)
    assert not breaker.takes_trial(20)


def test_a_busy_engine_gets_less_and_stays_closed() -> None:
    breaker = Breaker()
    for _ in range(3 * LEAST_SEEN):
        assert breaker.busy(7) == ""
    assert breaker.phase is Phase.CLOSED
    assert breaker.share(7) == RAMP_FROM


def test_a_busy_engine_fails_its_trial() -> None:
    breaker = opened()
    breaker.half_open(OPEN_S)
    assert breaker.busy(OPEN_S) == "the trial failed"


@given(st.integers(1, 10_000))
def test_the_time_open_is_within_its_bounds(times: int) -> None:
    assert OPEN_S <= open_s(times) <= OPEN_MOST_S


class BreakerMachine(RuleBasedStateMachine):
    """Against a plain list of what happened since it last closed."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now = Breaker(), 1000.0
        self.seen: list[tuple[int, bool]] = []
        self.tries = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0, 40.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def succeed(self) -> None:
        phase = self.breaker.phase
        closed = self.breaker.succeeded(self.now)
        assert closed is (phase is Phase.HALF_OPEN)
        self._note(phase, is_good=True)

    @rule()
    def fail(self) -> None:
        phase = self.breaker.phase
        self._note(phase, is_good=False)
        has_opened = bool(self.breaker.failed(self.now))
        expected = phase is Phase.HALF_OPEN or (phase is Phase.CLOSED and self._is_too_bad())
        assert has_opened is expected
        assert (self.breaker.phase is Phase.OPEN) is (has_opened or phase is Phase.OPEN)

    @precondition(lambda self: self.breaker.is_due(self.now))
    @rule()
    def half_open(self) -> None:
        self.breaker.half_open(self.now)
        self.tries = 0

    @precondition(lambda self: self.breaker.takes_trial(self.now))
    @rule()
    def try_once(self) -> None:
        self.breaker.is_tried = True
        self.tries += 1

    @invariant()
    def one_request_at_most_tries(self) -> None:
        assert self.tries <= 1

    @invariant()
    def the_share_is_a_share(self) -> None:
        assert RAMP_FROM <= self.breaker.share(self.now) <= 1

    @invariant()
    def it_is_never_open_without_an_end(self) -> None:
        if self.breaker.phase is not Phase.CLOSED:
            assert self.breaker.until - self.breaker.since <= OPEN_MOST_S

    def _note(self, phase: Phase, *, is_good: bool) -> None:
        if phase is not Phase.CLOSED:
            self.seen.clear()
        else:
            self.seen.append((int(self.now / SLOT_S), is_good))

    def _is_too_bad(self) -> bool:
        oldest = int(self.now / SLOT_S) - 10
        within = [is_good for slot, is_good in self.seen if slot > oldest]
        row = [is_good for _slot, is_good in self.seen[-IN_A_ROW:]]
        return (len(row) == IN_A_ROW and not any(row)) or (
            len(within) >= LEAST_SEEN and within.count(False) > TOO_MANY * len(within)
        )


TestBreaker = BreakerMachine.TestCase
