"""A story under a seed: its steps, the weather, and what is found at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final
from unittest.mock import patch

import time_machine
from django.db import transaction
from django.test import override_settings
from structlog.testing import capture_logs

from billing import stripe_client
from billing.invoices import periods_close
from billing.payments import (
    WebhookRefusedError,
    auto_top_ups_step,
    corrections_push,
    events_backfill,
    events_catch_up,
    inbox_work,
    invoices_push,
    outbox_send,
    stripe_reconcile,
    webhook_take,
)
from console.fakestripe import API_KEY, WEBHOOK_SECRET, Delays, FakeStripe, SeededFaults
from console.fakestripe.faults import no_faults
from tenants.valkey import client
from tests.stripe_simulation.checks import end_of, wrongs
from tests.stripe_simulation.world import LASTS, MONTH_END, OUTAGE, Story, World

STORIES: Final = 5
SETTLED: Final = timedelta(hours=2)
"""After that time every charge has its fee, and nothing cools down."""
ROUNDS: Final = 80
"""So many steps without faults are enough for all to come to rest."""


@dataclass
class Report:
    """What a seed did, and `breaks`: what did not hold. `faults` count webhooks not taken too."""

    seed: int
    requests: int = 0
    faults: int = 0
    breaks: list[str] = field(default_factory=list)


class Reference:
    """The end of each story without any fault, found once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ends: dict[int, Mapping[str, Any]] = {}

    def compare(self, seed: int) -> Report:
        """Run `seed`, and say where it did not end as its story does without faults."""
        story = seed % STORIES
        if story not in self._ends:
            calm = Simulation(story, self._world, None)
            self._ends[story] = calm.run()
            if calm.report.breaks:
                return calm.report
        stormy = Simulation(story, self._world, seed)
        end, expected = stormy.run(), self._ends[story]
        for name, value in expected.items():
            if end.get(name) != value:
                stormy.report.breaks.append(
                    f"seed {seed}: {name} is {end.get(name)}, and without faults {value}"
                )
        return stormy.report


class Simulation:
    """With a clock that only it moves; nothing of it stays in the database."""

    def __init__(self, story: int, world: World, seed: int | None) -> None:
        self.report = Report(story if seed is None else seed)
        self._story_number, self._world = story, world
        self._is_calm = seed is None
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._deaf_share = 0.0 if self._is_calm else 0.3

    def run(self) -> Mapping[str, Any]:
        with self._places(), transaction.atomic():
            try:
                self._live()
                return end_of(self._fake, self._world)
            finally:
                self.report.requests = self._fake.requests
                transaction.set_rollback(True)

    @contextmanager
    def _places(self) -> Iterator[None]:
        client().flushdb()
        keys = {"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRETS": [WEBHOOK_SECRET]}
        with ExitStack() as stack:
            stack.enter_context(override_settings(**keys))
            stack.enter_context(capture_logs())
            self._clock = stack.enter_context(time_machine.travel(MONTH_END, tick=False))
            self._fake = FakeStripe(time.time, self.report.seed)
            sdk = self._fake.client()
            stack.enter_context(patch.object(stripe_client, "connected", lambda key, base: sdk))
            self._story = Story(self._story_number, self._world, self._fake)
            self._weather_set()
            yield

    def _weather_set(self) -> None:
        if self._is_calm:
            return
        begins = self._story.start + timedelta(hours=self._random.uniform(0, 72))
        outage = (begins.timestamp(), (begins + OUTAGE).timestamp())
        self._fake.faults = SeededFaults(self.report.seed, 0.3, [outage])
        self._fake.delays = Delays()
        self._fake.account.settles_after_s = self._random.choice([0, 5, 3600])

    def _live(self) -> None:
        now = self._story.start
        end = now + LASTS
        while now < end:
            self._clock.move_to(now)
            self._step(now)
            now += timedelta(minutes=self._random.randint(60, 1200))
        self._come_to_rest(now)

    def _step(self, now: datetime) -> None:
        """What the worker does all the time, what people do, and what the month's end brings."""
        self._story.step(now)
        self._fake.deliver(partial(self._take, now))
        if self._story.has_payer:
            auto_top_ups_step(now)
        if now >= MONTH_END and self._story.awaits_invoice:
            periods_close(now)
            invoices_push(now)
        corrections_push(now)
        outbox_send(now)
        events_catch_up(now)
        if self._random.random() < 0.2:
            events_backfill(now)
        inbox_work(now)

    def _take(self, now: datetime, body: bytes, headers: Mapping[str, str]) -> int:
        """At times nobody is there to take it."""
        if self._random.random() < self._deaf_share:
            self.report.faults += 1
            return 503
        try:
            webhook_take(body, headers["Stripe-Signature"], now)
        except WebhookRefusedError as refusal:
            self.report.breaks.append(f"seed {self.report.seed}: a webhook was refused: {refusal}")
        return 200

    def _come_to_rest(self, now: datetime) -> None:
        """The weather is good again."""
        if isinstance(self._fake.faults, SeededFaults):
            self.report.faults += self._fake.faults.count + self._fake.faults.out
        self._fake.faults, self._deaf_share = no_faults, 0.0
        for _ in range(ROUNDS):
            now += timedelta(minutes=15)
            self._clock.move_to(now)
            self._step(now)
            if self._story.is_over and not wrongs(self._fake):
                break
        for _ in range(2):  # what the first of them has begun, the second ends
            now += SETTLED
            self._clock.move_to(now)
            self._step(now)
            events_backfill(now)
            inbox_work(now)
            stripe_reconcile(now, is_long=True)
        if not self._story.is_over:
            self.report.breaks.append(f"seed {self.report.seed}: somebody still waits")
        found = [*wrongs(self._fake), *(str(one) for one in stripe_reconcile(now, is_long=True))]
        self.report.breaks += [f"seed {self.report.seed}: {one}" for one in found]
