"""The one who answers: the double, and Stripe itself where there is a key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
import stripe

from console.fakestripe import FakeStripe

KEY = os.environ.get("STRIPE_TEST_KEY", "")
START = 1_790_000_000.0


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake(clock: Clock) -> FakeStripe:
    return FakeStripe(clock, seed=1)


@dataclass
class Api:
    """Calls as the outbox makes them: form parameters, an own key each time."""

    client: stripe.StripeClient
    keys: list[str] = field(default_factory=list)

    @property
    def v1(self) -> Any:
        return self.client.v1

    def key(self) -> dict[str, str]:
        return {"idempotency_key": f"contract:{uuid4()}"}

    def customer(self, **params: Any) -> Any:
        return self.v1.customers.create({"name": "Acme AB", **params}, self.key())

    def card(self, customer: str, name: str = "visa") -> str:
        method = self.v1.payment_methods.attach(f"pm_card_{name}", {"customer": customer})
        return str(method.id)

    def charge(self, customer: str, method: str, amount: int = 2500, **params: Any) -> Any:
        return self.v1.payment_intents.create(
            {
                "amount": amount, "currency": "eur", "customer": customer, "confirm": True,
                "payment_method": method, "off_session": True,
                "allowed_payment_method_types": ["card"], **params,
            },
            self.key(),
        )  # fmt: skip

    def invoice(self, customer: str, *amounts: int, **params: Any) -> Any:
        """A draft with a line for each amount."""
        due = {"collection_method": "send_invoice", "days_until_due": 14, "currency": "eur"}
        draft = self.v1.invoices.create({"customer": customer, **due, **params}, self.key())
        for amount in amounts:
            line = {"customer": customer, "invoice": draft.id, "amount": amount, "currency": "eur"}
            self.v1.invoice_items.create({**line, "description": f"{amount} tokens"}, self.key())
        return draft


@pytest.fixture(params=["fakestripe", "stripe"])
def api(request: pytest.FixtureRequest, fake: FakeStripe) -> Iterator[Api]:
    if request.param == "fakestripe":
        yield Api(fake.client())
    elif not KEY.startswith(("sk_test_", "rk_test_")):
        pytest.skip("STRIPE_TEST_KEY is no test key: this was not asked of Stripe itself.")
    else:
        yield Api(stripe.StripeClient(KEY, max_network_retries=0))


@pytest.fixture
def double(fake: FakeStripe) -> Api:
    """The double alone, for what nobody can ask of Stripe itself."""
    return Api(fake.client())
