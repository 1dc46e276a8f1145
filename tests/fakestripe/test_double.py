"""What the double adds to the contract: faults, time, webhooks, pages and a memory."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from console.fakestripe import (
    WEBHOOK_SECRET,
    Delays,
    FakeStripe,
    Fault,
    Request,
    SeededFaults,
)
from console.fakestripe.app import App
from console.fakestripe.faults import ALL
from console.fakestripe.forms import decoded
from console.fakestripe.hosted import hosted
from console.fakestripe.http import Refusal
from console.fakestripe.params import checked
from console.fakestripe.routes import ROUTES, Route
from tests.fakestripe.conftest import Api, Clock

DAY_S = 86_400


def with_fault(clock: Clock, *faults: Fault | None) -> tuple[FakeStripe, Any]:
    """A double whose first requests have these faults, and its API."""
    plan = iter(faults)
    fake = FakeStripe(clock, faults=lambda request, now: next(plan, None))
    return fake, fake.client().v1


def create(v1: Any) -> Any:
    return v1.customers.create({"name": "Acme"}, {"idempotency_key": "v1:customer:1"})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_call_takes_what_the_sdk_does_not_know(route: Route) -> None:
    with pytest.raises(Refusal, match="unknown parameter: moon"):
        checked(route.typed, {"moon": "full"})


@pytest.mark.parametrize("fault", ALL)
def test_a_call_that_went_wrong_and_is_made_again_makes_one_object(
    clock: Clock, fault: Fault
) -> None:
    fake, v1 = with_fault(clock, fault)
    with pytest.raises(stripe.StripeError):
        create(v1)
    is_stored = fault in (Fault.FAILED_BEFORE, Fault.FAILED_AFTER)
    if is_stored or fault is Fault.STALLED:
        with pytest.raises(stripe.StripeError) as again:
            create(v1)
        assert again.value.http_status == (500 if is_stored else 409)
    clock.pass_(60)
    if not is_stored:
        create(v1)
    made = {Fault.FAILED_BEFORE: 0}.get(fault, 1)
    assert len(fake.all("customer")) == made


def test_a_key_is_forgotten_after_a_day(clock: Clock) -> None:
    _, v1 = with_fault(clock)
    first = create(v1).id
    clock.pass_(DAY_S - 1)
    assert create(v1).id == first
    clock.pass_(2)
    assert create(v1).id != first


def test_an_outage_lets_nothing_arrive(clock: Clock) -> None:
    faults = SeededFaults(1, share=0, outages=[(clock.now, clock.now + 3 * DAY_S)])
    fake = FakeStripe(clock, faults=faults)
    with pytest.raises(stripe.APIConnectionError):
        create(fake.client().v1)
    clock.pass_(3 * DAY_S)
    create(fake.client().v1)
    assert len(fake.all("customer")) == 1


def test_webhooks_are_signed_as_the_sdk_verifies_them(fake: FakeStripe, double: Api) -> None:
    customer = double.customer()
    seen: list[stripe.Event] = []

    def send(body: bytes, headers: Any) -> int:
        signature = headers["Stripe-Signature"]
        stripe.WebhookSignature.verify_header(body.decode(), signature, WEBHOOK_SECRET, None)
        seen.append(json.loads(body))
        return 200

    assert fake.deliver(send) == 1
    assert fake.deliver(send) == 0
    assert (seen[0]["type"], seen[0]["data"]["object"]["id"]) == ("customer.created", customer.id)
    assert seen[0]["api_version"] == stripe.api_version


def test_webhooks_that_nobody_takes_come_again_for_three_days(
    fake: FakeStripe, double: Api, clock: Clock
) -> None:
    double.customer()
    tries = 0
    for _ in range(24 * 5):
        tries += fake.deliver(lambda body, headers: 500)
        clock.pass_(3600)
    assert 6 <= tries <= 12
    assert fake.deliver(lambda body, headers: 500) == 0


def test_webhooks_come_twice_late_and_in_any_order(clock: Clock) -> None:
    fake = FakeStripe(clock, seed=3, delays=Delays())
    v1 = fake.client().v1
    for _ in range(30):
        v1.customers.create({"name": "Acme"})
        clock.pass_(60)
    made = [event["id"] for event in fake.events()]
    got: list[str] = []

    def send(body: bytes, headers: Any) -> int:
        got.append(json.loads(body)["id"])
        return 200

    for _ in range(3 * 24 + 1):
        fake.deliver(send)
        clock.pass_(3600)
    assert set(got) == set(made)
    assert max(Counter(got).values()) > 1
    assert list(dict.fromkeys(got)) != made


def test_a_seed_repeats_itself(clock: Clock) -> None:
    def run() -> list[str]:
        fake = FakeStripe(clock, seed=5, faults=SeededFaults(5, 0.5), delays=Delays())
        said = []
        for number in range(20):
            try:
                said.append(fake.client().v1.customers.create({"name": str(number)}).id)
            except stripe.StripeError as error:
                said.append(str(error.user_message))
        return said

    assert run() == run()


def test_events_are_listed_for_thirty_days(fake: FakeStripe, double: Api, clock: Clock) -> None:
    double.customer()
    clock.pass_(20 * DAY_S)
    double.customer()
    since = {"created": {"gte": int(clock.now) - DAY_S}, "types": ["customer.created"]}
    assert len(double.v1.events.list(since).data) == 1
    assert len(double.v1.events.list({"type": "customer.*"}).data) == 2
    clock.pass_(11 * DAY_S)
    assert len(double.v1.events.list().data) == 1


def test_a_charge_costs_a_fee(double: Api) -> None:
    customer = double.customer()
    intent = double.charge(customer.id, double.card(customer.id), 10_000)
    expand = {"expand": ["latest_charge.balance_transaction"]}
    settled = double.v1.payment_intents.retrieve(intent.id, expand).latest_charge
    assert (settled.balance_transaction.fee, settled.balance_transaction.net) == (175, 9825)


def test_a_card_that_is_refused_is_tried_again_some_days_later(
    fake: FakeStripe, double: Api, clock: Clock
) -> None:
    customer = double.customer()
    card = double.card(customer.id, "chargeCustomerFail")
    settings_ = {"invoice_settings": {"default_payment_method": card}}
    double.v1.customers.update(customer.id, settings_)
    draft = double.v1.invoices.create({"customer": customer.id, "currency": "eur"})
    line = {"customer": customer.id, "invoice": draft.id, "amount": 900, "currency": "eur"}
    double.v1.invoice_items.create(line)
    double.v1.invoices.finalize_invoice(draft.id, {"auto_advance": True})
    for _ in range(20):
        clock.pass_(DAY_S)
        fake.tick()
    assert double.v1.invoices.retrieve(draft.id).attempt_count == 4
    assert len(fake.events("invoice.payment_failed")) == 4


# The pages


def checkout(double: Api, **params: Any) -> Any:
    price = {"currency": "eur", "unit_amount": 12500, "product_data": {"name": "Credit <b>"}}
    return double.v1.checkout.sessions.create(
        {
            "mode": "payment", "customer": double.customer().id,
            "line_items": [{"quantity": 1, "price_data": price}],
            "payment_intent_data": {"setup_future_usage": "off_session"},
            "success_url": "http://shop.example/{CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.example/", **params,
        }
    )  # fmt: skip


def page(fake: FakeStripe, url: str, **fields: str) -> Any:
    method = "POST" if fields else "GET"
    response = hosted(fake, method, "/" + url.split("/", 3)[3], fields)
    assert response is not None
    return response


def test_a_checkout_is_paid_on_its_page_and_saves_the_card(fake: FakeStripe, double: Api) -> None:
    session = checkout(double)
    shown = page(fake, session.url)
    assert b"125.00 EUR" in shown.body
    assert b"Credit &lt;b&gt;" in shown.body
    policy = shown.headers["content-security-policy"]
    assert "form-action 'self' http://shop.example" in policy
    assert "unsafe" not in policy
    assert b"declined" in page(fake, session.url, number="4000 0000 0000 0002").body
    done = page(fake, session.url, number="4242 4242 4242 4242")
    assert (done.status, done.headers["location"]) == (303, f"http://shop.example/{session.id}")
    paid = double.v1.checkout.sessions.retrieve(session.id)
    assert (paid.status, paid.payment_status) == ("complete", "paid")
    assert len(double.v1.payment_methods.list({"customer": paid.customer}).data) == 1
    assert fake.events("checkout.session.completed")


@pytest.mark.parametrize(("answer", "status"), [("yes", "complete"), ("no", "open")])
def test_a_bank_asks_on_its_page(fake: FakeStripe, double: Api, answer: str, status: str) -> None:
    session = checkout(double)
    bank = page(fake, session.url, number="4000002760003184").headers["location"]
    assert b"ends in" in page(fake, bank).body
    page(fake, bank, answer=answer)
    assert double.v1.checkout.sessions.retrieve(session.id).status == status


def test_a_card_that_was_set_up_is_not_asked_about_again(fake: FakeStripe, double: Api) -> None:
    session = checkout(double)
    fake.authenticate(page(fake, session.url, number="4000002500003155").headers["location"])
    customer = double.v1.checkout.sessions.retrieve(session.id).customer
    (card,) = double.v1.payment_methods.list({"customer": customer}).data
    assert double.charge(customer, card.id).status == "succeeded"


def test_a_checkout_ends_by_itself(fake: FakeStripe, double: Api, clock: Clock) -> None:
    session = checkout(double)
    clock.pass_(DAY_S)
    assert double.v1.checkout.sessions.retrieve(session.id).status == "expired"
    with pytest.raises(Refusal, match="not open any more"):
        fake.pay(session.url or f"/{session.id}")


def test_cards_and_tax_ids_are_changed_in_the_portal(fake: FakeStripe, double: Api) -> None:
    customer = double.customer()
    params = {"customer": customer.id, "return_url": "http://shop.example/"}
    portal = double.v1.billing_portal.sessions.create(params).url
    page(fake, portal, act="add", number="5555 5555 5555 4444")
    assert b"in use" in page(fake, portal).body
    assert b"Invalid value" in page(fake, portal, act="tax_id", value="nonsense").body
    page(fake, portal, act="tax_id", value="DE123456789")
    (card,) = double.v1.payment_methods.list({"customer": customer.id}).data
    page(fake, portal, act="remove", card=card.id)
    whole = double.v1.customers.retrieve(customer.id, {"expand": ["tax_ids"]})
    assert whole.invoice_settings.default_payment_method is None
    assert [one.value for one in whole.tax_ids.data] == ["DE123456789"]


def test_an_invoice_is_paid_on_its_page(fake: FakeStripe, double: Api) -> None:
    draft = double.invoice(double.customer().id, 1000)
    url = double.v1.invoices.finalize_invoice(draft.id).hosted_invoice_url
    page(fake, url, number="4242424242424242")
    assert b"It is paid." in page(fake, url).body


# Its memory, and its place on a network


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path, clock: Clock) -> None:
    journal = tmp_path / "fakestripe.jsonl"
    first = FakeStripe(clock, journal=journal)
    customer = create(first.client().v1)
    with journal.open("a") as file:
        file.write('{"cut off')
    second = FakeStripe(clock, seed=2, journal=journal)
    assert create(second.client().v1).id == customer.id
    third = FakeStripe(clock, seed=3, journal=journal)
    assert [one["id"] for one in third.all("customer")] == [customer.id]


async def test_it_is_an_app_like_any_other(fake: FakeStripe) -> None:
    app = App(fake)
    headers = [(b"authorization", b"Bearer sk_test_fake")]
    scope = {"type": "http", "method": "POST", "path": "/v1/customers", "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"name=Acme"}

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.wait_for(app(scope | {"headers": headers}, receive, send), 5)
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["name"] == "Acme"


async def test_half_a_request_is_none(fake: FakeStripe) -> None:
    """Whoever sends it is killed; its key is as new when somebody else goes on."""
    app, sent = App(fake), list[Any]()
    headers = [
        (b"authorization", b"Bearer sk_test_fake"),
        (b"content-length", b"9"),
        (b"idempotency-key", b"once"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/customers", "query_string": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask(*messages: dict[str, Any]) -> None:
        left = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(left)

        await asyncio.wait_for(app(scope | {"headers": headers}, receive, send), 5)

    half = {"type": "http.request", "body": b"name=A", "more_body": True}
    await ask(half, {"type": "http.disconnect"})
    assert sent == []
    await ask(half, {"type": "http.request", "body": b"cme"})
    assert json.loads(sent[1]["body"])["name"] == "Acme"
    assert len(fake.all("customer")) == 1


@settings(max_examples=25, deadline=None)
@given(
    body=st.lists(
        st.tuples(
            st.sampled_from(
                ["name", "address[city]", "metadata[a]", "tax_id_data[0][type]", "a[b]"]
            ),
            st.text("a1[]=&%ä", max_size=6),
        ),
        max_size=4,
    )
)
def test_no_form_breaks_it(body: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    fake = FakeStripe(lambda: 0)
    headers = {"authorization": "Bearer sk_test_fake"}
    response = fake.answer(Request("POST", "/v1/customers", "", urlencode(body), headers))
    assert response.status in (200, 400)
    assert decoded("a[0][b]=1&a[0][c]=2&d[]=3") == {
        "a": {"0": {"b": "1", "c": "2"}},
        "d": {"0": "3"},
    }
