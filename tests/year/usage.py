"""The requests of the customers, told to the product and to the oracle."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING
from random import Random
from typing import Final
from uuid import UUID

from billing.metering import UsageRecord, encode
from billing.models import Outcome
from tenants.models import Organization, OrganizationState
from tests.year.cast import Kind
from tests.year.days import MICROSECOND, days_of, midnight
from tests.year.oracle import Oracle
from tests.year.stage import Stage

OUTCOMES: Final = [*[Outcome.COMPLETED] * 18, Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR]
LATE, TWICE = 0.015, 0.01
"""Shares of requests that come long after they ended, and that are told twice."""


class Usage:
    """`events` a month of each. `plans` are of now, `changes` when prices did."""

    def __init__(
        self, stage: Stage, oracle: Oracle, cast: Sequence[Kind], random: Random, events: int
    ) -> None:
        self._stage, self._oracle, self._cast = stage, oracle, cast
        self._random, self._events = random, events
        self.plans = {who: kind.plan for who, kind in enumerate(cast)}
        self.changes: list[datetime] = []
        self._waiting: list[tuple[int, datetime]] = []
        self._kept_back: list[tuple[int, datetime]] = []

    def ask(self, day: date) -> None:
        """Choose the moments at which the requests of a day end."""
        days = len(list(days_of(day)))
        for who, plan in self.plans.items():
            if self.is_suspended(who):
                continue
            mean = (self._events if plan != "free" else self._events / 8) / days
            count = int(mean) + (self._random.random() < mean % 1)
            moments = [self._moment(day) for _ in range(count)]
            self._waiting += [(who, moment) for moment in [*moments, *_edges(day)]]

    def is_suspended(self, who: int) -> bool:
        """For want of a payment."""
        state = Organization.objects.values_list("state", flat=True)
        pk = self._stage.company.members[who].organization.pk
        return self._cast[who].pays == "late" and state.get(pk=pk) != OrganizationState.ACTIVE

    def tell(self, now: datetime) -> None:
        """All but a few that are long on their way."""
        waiting = sorted(self._waiting, key=lambda one: one[1])
        self._waiting = []
        late = [one for one in waiting if self._random.random() < LATE]
        self._kept_back += late
        self._use(now, [one for one in waiting if one not in late])

    def tell_late(self, now: datetime, share: float) -> None:
        """What was kept back long enough: of the last month, and some of the one before."""
        come = [one for one in self._kept_back if self._random.random() < share]
        self._kept_back = [one for one in self._kept_back if one not in come]
        if come:
            self._use(now, come)

    def _moment(self, day: date) -> datetime:
        return midnight(day) + timedelta(microseconds=self._random.randrange(86_400 * 10**6))

    def _use(self, now: datetime, requests: Sequence[tuple[int, datetime]]) -> None:
        records = [self._record(who, moment, now) for who, moment in requests]
        again = [one for one in records if self._random.random() < TWICE]
        self._stage.do(
            "use", records=[b64encode(encode(one)).decode() for one in [*records, *again]]
        )

    def _record(self, who: int, occurred_at: datetime, now: datetime) -> UsageRecord:
        """Of a request that took a while, so that prices may have changed meanwhile."""
        random, kind = self._random, self._cast[who]
        admitted_at = self._admitted_at(occurred_at)
        model = random.choice(["small", "small", "large", "ear"])
        fresh, cached, output, audio = self._counts(who, model)
        units = {"input": fresh, "cached_input": cached, "output": output, "audio_second": audio}
        outcome = random.choice(OUTCOMES)
        book = f"own-{who}" if kind.has_book else kind.currency
        cost = self._oracle.use(
            who, book, kind.currency, model, units, outcome.value, admitted_at, occurred_at, now
        )
        member = self._stage.company.members[who]
        return UsageRecord(
            request_id=UUID(int=random.getrandbits(128), version=4),
            organization_id=member.organization.pk, project_id=member.project.pk,
            api_key_id=member.key.pk, model=model, backend="gpu-1", region="se-lulea",
            endpoint="/v1/chat/completions", streamed=False, outcome=outcome.value,
            admitted_at=admitted_at, occurred_at=occurred_at, ttft_ms=80, duration_ms=2000,
            input_tokens=fresh + cached, cached_tokens=cached, output_tokens=output,
            audio_seconds=audio, book=self._stage.company.books[book].pk,
            amount_nano=int((cost * 10**9).to_integral_value(ROUND_CEILING)),
        )  # fmt: skip

    def _counts(self, who: int, model: str) -> tuple[int, int, int, int]:
        """Fresh and cached input, output, seconds of audio."""
        if model == "ear":
            return 0, 0, 0, self._random.randrange(1, 3600)
        size = 40_000 if self.plans[who] == "free" else 400_000
        fresh, cached, output = (self._random.randrange(size // part) for part in (1, 4, 8))
        return fresh, cached, output, 0

    def _admitted_at(self, occurred_at: datetime) -> datetime:
        """At times just when a price changed, or just before it."""
        hour = timedelta(hours=1)
        near = [one for one in self.changes if one <= occurred_at < one + hour]
        if near and self._random.random() < 0.3:
            return self._random.choice([near[-1], near[-1] - MICROSECOND])
        return occurred_at - timedelta(microseconds=self._random.randrange(1, 30 * 10**6))


def _edges(day: date) -> Iterator[datetime]:
    """The first and the last moment of a month."""
    if day.day == 1:
        yield midnight(day)
    if (day + timedelta(days=1)).day == 1:
        yield midnight(day + timedelta(days=1)) - MICROSECOND
