from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from billing import stripe_client
from billing.payments import inbox_work, outbox_send, webhook_take
from console.fakestripe import API_KEY, WEBHOOK_SECRET, FakeStripe
from tests.conftest import Cast

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


class Stripe:
    """The double beside us, with one clock for both."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Nothing is there yet."""
        self.now = NOON
        self.fake = FakeStripe(lambda: self.now.timestamp())
        self.client = self.fake.client()

    def pass_time(self, **spans: float) -> datetime:
        self.now += timedelta(**spans)
        return self.now

    def deliver(self) -> None:
        """Its webhooks come, and are worked off; calls that wait are sent."""
        self.fake.deliver(self._take)
        inbox_work(self.now)
        outbox_send(self.now)

    def _take(self, body: bytes, headers: object) -> int:
        signature = {name.lower(): value for name, value in dict(headers).items()}  # type: ignore[call-overload]
        webhook_take(body, signature["stripe-signature"], self.now)
        return 200


@pytest.fixture
def stripe(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stripe]:
    stripe = Stripe()
    monkeypatch.setattr(stripe_client, "connected", lambda key, base: stripe.client)
    with override_settings(STRIPE_API_KEY=API_KEY, STRIPE_WEBHOOK_SECRETS=[WEBHOOK_SECRET]):
        yield stripe
