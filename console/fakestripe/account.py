"""A Stripe account in test mode: its objects, its clock, its events and what it does later."""

from __future__ import annotations

import string
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any, Final

import stripe

from console.fakestripe.http import Object, Refusal, invalid, no_such
from console.fakestripe.objects import made
from console.fakestripe.store import Store

API_KEY: Final = "sk_test_fake"
WEBHOOK_SECRET: Final = "whsec_of_a_double_and_no_secret"  # noqa: S105 - of a double, that anyone may know
API_VERSION: Final = "2026-10-28.endive"
DAY_S: Final = 86_400
EVENTS_KEPT_S: Final = 30 * DAY_S
_LETTERS: Final = string.ascii_letters + string.digits

LEAST: Final = {"eur": 50, "usd": 50, "sek": 300, "gbp": 30, "dkk": 250, "nok": 300, "chf": 50}
"""The smallest charge of each currency."""

Act = Callable[["Account", Object], None]
"""What happens to an object by itself, later."""


class Account:
    """`clock` gives seconds since 1970. `url` is where the hosted pages are."""

    def __init__(self, store: Store, clock: Callable[[], float], seed: int, url: str) -> None:
        self.store, self.clock, self.url = store, clock, url
        self.random = Random(seed)  # noqa: S311 - to be repeated
        self.acts: dict[str, Act] = {}
        self.told: list[Object] = []
        """Events of this request, for which no webhook is planned yet."""
        self.request: Object = {"id": None, "idempotency_key": None}
        self.settles_after_s = 0
        """How long a charge waits for its balance transaction."""

    def now(self) -> int:
        return int(self.clock())

    def new_id(self, prefix: str, length: int = 24) -> str:
        return f"{prefix}_{''.join(self.random.choices(_LETTERS, k=length))}"

    def put(self, thing: Object) -> Object:
        return self.store.put(thing)

    def new(self, kind: type[stripe.StripeObject], prefix: str, **given: Any) -> Object:
        """An object, made now."""
        return self.put(made(kind, id=self.new_id(prefix), created=self.now(), **given))

    def get(self, kind: str, wanted: str, param: str = "id") -> Object:
        """Raises Refusal when there is none, or it is of another kind."""
        found = self.store.find(wanted)
        if found is None or found["object"] != kind or found.get("deleted"):
            raise no_such(NAMES.get(kind, kind), wanted, param)
        return found

    def happened(self, name: str, thing: Object, before: Object | None = None) -> None:
        """Make an event of `thing` as it is now; of an update, with what was `before`."""
        data: Object = {"object": self.shown(thing)}
        if before is not None:
            data["previous_attributes"] = _differences(before, thing)
            if not data["previous_attributes"]:
                return
        event = self.new(
            stripe.Event, "evt", api_version=API_VERSION, data=data, pending_webhooks=1,
            request=dict(self.request), type=name,
        )  # fmt: skip
        self.told.append(event)

    def shown(self, thing: Object) -> Object:
        """As clients see it; a copy."""
        return {name: deepcopy(value) for name, value in thing.items() if name[0] != "_"}

    def later(self, after_s: float, act: str, thing: Object) -> None:
        """`acts[act]` will be done to `thing` unless it is gone by then."""
        job = {"id": self.new_id("job"), "object": "_job", "act": act, "on": thing["id"]}
        self.put(job | {"due": self.now() + after_s})

    def tick(self) -> None:
        """Do what is due, and forget old events, as Stripe does."""
        while due := [job for job in self.store.all("_job") if job["due"] <= self.now()]:
            job = min(due, key=lambda job: job["due"])
            self.store.remove(job["id"])
            if thing := self.store.find(job["on"]):
                self.acts[job["act"]](self, thing)
        for event in self.store.all("event"):
            if event["created"] > self.now() - EVENTS_KEPT_S:
                break
            self.store.remove(event["id"])


NAMES: Final = {
    "billing_portal.configuration": "configuration",
    "checkout.session": "checkout.session",
    "invoice_payment": "invoice payment",
    "payment_method": "PaymentMethod",
    "tax_rate": "tax rate",
}
"""What Stripe calls a kind in its messages, where that is not its name."""


def _differences(before: Object, thing: Object) -> Object:
    return {
        name: deepcopy(value)
        for name, value in before.items()
        if name[0] != "_" and thing.get(name) != value
    }


def currency_of(given: str, param: str = "currency") -> str:
    currency = given.lower()
    if currency not in LEAST:
        known = ", ".join(LEAST)
        message = f"Invalid currency: {given}. Stripe currently supports these currencies: {known}"
        raise invalid(message, param)
    return currency


def amount_check(amount: int, currency: str) -> None:
    """Raises Refusal when nobody could be charged for `amount`."""
    if amount < 1:
        message = "This value must be greater than or equal to 1."
        raise invalid(message, "amount", "parameter_invalid_integer")
    if amount < LEAST[currency]:
        least = f"{LEAST[currency] / 100:.2f} {currency}"
        raise invalid(f"Amount must be at least {least}", "amount", "amount_too_small")
    if amount > 99_999_999:
        message = "Amount must be no more than 999,999.99"
        raise invalid(message, "amount", "amount_too_large")


def unexpected(what: str, thing: Object, code: str) -> Refusal:
    """`thing` is in a state in which `what` cannot be done."""
    names = {"payment_intent": "PaymentIntent", "invoice": "invoice"}
    name = names.get(thing["object"], thing["object"])
    message = f"You cannot {what} this {name} because it has a status of {thing['status']}."
    extra = {thing["object"]: dict(thing)} if thing["object"] == "payment_intent" else {}
    return Refusal(400, "invalid_request_error", message, code=code, **extra)
