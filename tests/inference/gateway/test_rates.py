"""Rates counted by one process, while Valkey is away."""

from __future__ import annotations

from billing.holds import Denied, Granted, LimitAsk
from billing.models import LimitKind
from inference.gateway.rates import LocalRates
from tests.inference.gateway.fleets import Clock

RPM, TPM = LimitKind.REQUESTS_MINUTE, LimitKind.TOKENS_MINUTE


def test_a_rate_is_let_through_and_no_more_until_it_comes_back() -> None:
    clock = Clock()
    rates, limits = LocalRates(clock), (LimitAsk("o", RPM, 6),)
    answers = [rates.take("a", limits) for _ in range(7)]
    assert [isinstance(answer, Granted) for answer in answers] == [True] * 6 + [False]
    assert isinstance(answers[0], Granted)
    assert answers[0].limits[0].remaining == 5
    assert isinstance(answers[-1], Denied)
    assert answers[-1].retry_after_s == 10
    clock.now += 10
    assert isinstance(rates.take("a", limits), Granted)
    assert isinstance(rates.take("a", limits), Denied)


def test_a_refused_request_counts_nowhere_and_others_do_not_feel_it() -> None:
    rates = LocalRates(Clock())
    both = (LimitAsk("o", RPM, 2), LimitAsk("o", TPM, 100, 100))
    assert isinstance(rates.take("a", both), Granted)
    refused = rates.take("a", both)
    assert isinstance(refused, Denied)
    assert refused.kind is TPM
    assert isinstance(rates.take("a", both[:1]), Granted)
    assert isinstance(rates.take("b", both), Granted)


def test_what_runs_at_the_same_time_is_not_counted() -> None:
    rates, limits = LocalRates(Clock()), (LimitAsk("o", LimitKind.STREAMS, 1),)
    assert all(isinstance(rates.take("a", limits), Granted) for _ in range(5))
