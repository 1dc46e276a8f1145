"""Where acts are done, each at its moment, and noted: and where what was noted is done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple
from unittest.mock import patch
from uuid import UUID

import stripe
import time_machine
from django.test import override_settings
from django.utils import timezone
from structlog.testing import capture_logs

from billing import stripe_client
from console.fakestripe import API_KEY, WEBHOOK_SECRET, Request, Response
from console.fakestripe.sdk import InProcess
from tenants.models import organizations
from tenants.valkey import client
from tests.year.company import Company

SETTINGS: Final = {
    "STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRETS": [WEBHOOK_SECRET], "PRICE_APPROVAL": True,
    "SIGN_UP_PLAN": "free", "SELLER_NAME": "Sluice AB", "SELLER_COUNTRY": "SE",
    "SELLER_VAT_ID": "SE556677889901",
}  # fmt: skip

type Answering = Callable[[Request], Response]


class Divergence(BaseException):
    """What is asked of the provider is not what was asked before."""


class Call(NamedTuple):
    """What was asked of the provider, and answered."""

    asked: list[str]
    status: int
    body: str
    headers: dict[str, str]


class Entry(NamedTuple):
    """An act and all that came from outside while it was done. Plain data."""

    at: float
    act: str
    given: dict[str, Any]
    calls: list[Call]


@dataclass
class Stage:
    """`answer` is the provider; `log` has what was done."""

    answer: Answering
    clock: time_machine.Traveller
    noise: list[Any]
    company: Company = field(default_factory=Company)
    log: list[str] = field(default_factory=list)
    _calls: list[Call] = field(default_factory=list)

    def move_to(self, moment: datetime) -> None:
        self.clock.move_to(moment)

    def do(self, act: str, **given: Any) -> Any:
        """Of `given` nothing may be but plain data."""
        self._calls = []
        done = getattr(self.company, act)(**given)
        entry = Entry(timezone.now().timestamp(), act, given, self._calls)
        self.log.append(json.dumps(entry))
        return done

    def respond(self, request: Request) -> Response:
        response = self.answer(request)
        self._calls.append(
            Call(_asked(request), response.status, response.body.decode(), {**response.headers})
        )
        return response

    def errors(self) -> list[str]:
        """What the product has logged as an error since the last time."""
        found = [str(one) for one in self.noise if one["log_level"] in {"error", "critical"}]
        self.noise.clear()
        return found


@contextmanager
def staged(start: datetime, seed: int, answer: Answering) -> Iterator[Stage]:
    """A stage on the databases as they are; Valkey is emptied."""
    client().flushdb()
    with ExitStack() as stack:
        stack.enter_context(override_settings(**SETTINGS))
        noise = stack.enter_context(capture_logs())
        clock = stack.enter_context(time_machine.travel(start, tick=False))
        stage = Stage(answer, clock, noise)
        sdk = stripe.StripeClient(
            API_KEY, http_client=InProcess(stage.respond), max_network_retries=0
        )
        stack.enter_context(patch.object(stripe_client, "connected", lambda key, base: sdk))
        stack.enter_context(patch.object(organizations, "uuid7", Ids(seed)))
        yield stage


def replay(start: datetime, seed: int, log: Sequence[str]) -> list[str]:
    """Do again what was noted, with the provider's answers of then. What did not go as it did."""
    answers = Answers()
    with staged(start, seed, answers) as stage:
        for number, line in enumerate(log):
            at, act, given, calls = json.loads(line)
            stage.move_to(datetime.fromtimestamp(at, UTC))
            answers.waiting = [Call(*call) for call in calls]
            try:
                stage.do(act, **given)
            except Divergence as error:
                return [f"entry {number} ({act}): {error}", *stage.errors()]
            if answers.waiting:
                less = f"asks {len(answers.waiting)} calls less"
                return [f"entry {number} ({act}) {less}", *stage.errors()]
        return stage.errors()


@dataclass
class Answers:
    """The provider of before."""

    waiting: list[Call] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        asked = _asked(request)
        if not self.waiting or self.waiting[0].asked != asked:
            before = self.waiting[0].asked if self.waiting else []
            raise Divergence(f"Asked {asked}, before {before}")
        call = self.waiting.pop(0)
        return Response(call.status, call.body.encode(), call.headers)


class Ids:
    """UUIDv7 of the clock and the seed: the same acts make the same ones."""

    def __init__(self, seed: int) -> None:
        self._random, self._last = Random(seed), 0  # noqa: S311 - to be repeated

    def __call__(self) -> UUID:
        """Later ones are greater, as `uuid7` has it."""
        milliseconds = int(time.time() * 1000)
        self._last = max(self._last + 1 + self._random.getrandbits(30), milliseconds << 74)
        stamp, rest = divmod(self._last, 1 << 74)
        high, low = divmod(rest, 1 << 62)
        return UUID(int=stamp << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


def _asked(request: Request) -> list[str]:
    key = request.headers.get("idempotency-key", "")
    return [request.method, request.path, request.query, request.body, key]
