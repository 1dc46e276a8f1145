"""What we rely on of Stripe: asked of the double, and of Stripe itself where there is a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.fakestripe.conftest import Api

NO_SUCH = "cus_doesnotexist1"


def refused(call: Callable[[], Any]) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as caught:
        call()
    return caught.value


# Parameters


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nmae": "Acme"}, "parameter_unknown", "nmae"),
        ({"address": {"contry": "SE"}}, "parameter_unknown", "address[contry]"),
        ({"balance": "much"}, "parameter_invalid_integer", "balance"),
        ({"payment_method": "pm_doesnotexist"}, "resource_missing", None),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    api: Api, params: dict[str, Any], code: str, param: str | None
) -> None:
    error = refused(lambda: api.customer(**params))
    assert (error.http_status in (400, 404), error.code) == (True, code)
    assert param is None or getattr(error, "param", None) == param


def test_what_is_required_is_said(api: Api) -> None:
    error = refused(lambda: api.v1.payment_intents.create({"currency": "eur"}))
    assert (error.http_status, error.code) == (400, "parameter_missing")


def test_a_choice_must_be_one_of_a_few(api: Api) -> None:
    customer = api.customer()
    error = refused(lambda: api.invoice(customer.id, collection_method="somehow"))
    assert error.http_status == 400
    assert "must be one of charge_automatically or send_invoice" in str(error.user_message)


def test_an_amount_below_the_least_is_too_small(api: Api) -> None:
    error = refused(lambda: api.v1.payment_intents.create({"currency": "eur", "amount": 10}))
    assert (error.http_status, error.code) == (400, "amount_too_small")


def test_what_is_not_there_is_missing(api: Api) -> None:
    by_path = refused(lambda: api.v1.customers.retrieve(NO_SUCH))
    assert (by_path.http_status, by_path.code) == (404, "resource_missing")
    by_param = refused(lambda: api.invoice(NO_SUCH))
    assert (by_param.http_status, by_param.code) == (400, "resource_missing")
    assert f"No such customer: '{NO_SUCH}'" in str(by_path.user_message)


def test_a_wrong_key_is_not_let_in(api: Api) -> None:
    options = {"api_key": "sk_test_wrong"}
    assert refused(lambda: api.v1.customers.list({}, options)).http_status == 401


# Idempotency


def test_a_key_makes_one_object_however_often_it_is_sent(api: Api) -> None:
    key = api.key()
    params = {"name": "Once", "metadata": {"outbox_id": "1"}}
    first, again = (api.v1.customers.create(params, key) for _ in range(2))
    assert first.id == again.id
    assert again.last_response.headers["idempotent-replayed"] == "true"


def test_a_key_is_for_one_call_only(api: Api) -> None:
    key = api.key()
    api.v1.customers.create({"name": "Once"}, key)
    error = refused(lambda: api.v1.customers.create({"name": "Twice"}, key))
    assert (error.http_status, type(error)) == (400, stripe.IdempotencyError)


def test_a_refusal_of_the_card_is_kept_for_its_key(api: Api) -> None:
    customer = api.customer()
    card = api.card(customer.id, "chargeCustomerFail")
    key = api.key()
    params = {"amount": 900, "currency": "eur", "customer": customer.id, "payment_method": card}
    params |= {"confirm": True, "off_session": True, "allowed_payment_method_types": ["card"]}
    errors = [refused(lambda: api.v1.payment_intents.create(params, key)) for _ in range(2)]
    intents = [error.json_body["error"]["payment_intent"]["id"] for error in errors]  # type: ignore[index]
    assert [error.http_status for error in errors] == [402, 402]
    assert intents[0] == intents[1]


def test_refused_parameters_are_not_kept_for_their_key(api: Api) -> None:
    key = api.key()
    refused(lambda: api.v1.customers.create({"nmae": "Acme"}, key))
    assert api.v1.customers.create({"name": "Acme"}, key).name == "Acme"


# Customers


def test_metadata_is_merged_and_unset_by_empty_values(api: Api) -> None:
    customer = api.customer(metadata={"outbox_id": "1", "kept": "yes"})
    api.v1.customers.update(customer.id, {"metadata": {"outbox_id": "", "new": "2"}})
    metadata = api.v1.customers.retrieve(customer.id).metadata
    assert metadata.to_dict() == {"kept": "yes", "new": "2"}


def test_a_customer_that_was_deleted_says_so(api: Api) -> None:
    customer = api.customer()
    api.v1.customers.delete(customer.id)
    assert api.v1.customers.retrieve(customer.id).deleted
    assert refused(lambda: api.invoice(customer.id)).code == "resource_missing"


def test_a_vat_number_is_checked_for_its_form(api: Api) -> None:
    customer = api.customer()
    tax_ids = api.v1.customers.tax_ids
    made = tax_ids.create(customer.id, {"type": "eu_vat", "value": "DE123456789"})
    assert (made.country, made.customer) == ("DE", customer.id)
    error = refused(lambda: tax_ids.create(customer.id, {"type": "eu_vat", "value": "nonsense"}))
    assert error.code == "tax_id_invalid"
    assert [one.id for one in tax_ids.list(customer.id).data] == [made.id]


def test_lists_come_in_pages_with_the_newest_first(api: Api) -> None:
    customer = api.customer()
    made = [api.invoice(customer.id).id for _ in range(3)]
    params = {"customer": customer.id, "limit": 2}
    first = api.v1.invoices.list(params)
    rest = api.v1.invoices.list({**params, "starting_after": first.data[-1].id})
    assert [one.id for one in [*first.data, *rest.data]] == made[::-1]
    assert (first.has_more, rest.has_more) == (True, False)
    assert refused(lambda: api.v1.invoices.list({"limit": 101})).http_status == 400


# Payments


def test_a_saved_card_is_charged_when_nobody_is_there(api: Api) -> None:
    customer = api.customer()
    intent = api.charge(customer.id, api.card(customer.id), metadata={"payment": "1"})
    assert (intent.status, intent.amount_received, intent.metadata["payment"]) == (
        "succeeded", 2500, "1",
    )  # fmt: skip
    expand = {"expand": ["latest_charge.refunds", "payment_method"]}
    whole = api.v1.payment_intents.retrieve(intent.id, expand)
    assert whole.latest_charge.paid
    assert whole.payment_method.card.last4 == "4242"
    assert whole.latest_charge.refunds.data == []


def test_a_card_that_is_declined_says_why(api: Api) -> None:
    customer = api.customer()
    error = refused(lambda: api.charge(customer.id, api.card(customer.id, "chargeCustomerFail")))
    assert (error.http_status, error.code, type(error)) == (402, "card_declined", stripe.CardError)
    (intent,) = api.v1.payment_intents.list({"customer": customer.id}).data
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == "generic_decline"


def test_a_card_that_is_bad_cannot_be_saved(api: Api) -> None:
    customer = api.customer()
    error = refused(lambda: api.card(customer.id, "chargeDeclined"))
    assert (error.http_status, error.code) == (402, "card_declined")


def test_a_bank_that_asks_its_customer_refuses_when_nobody_is_there(api: Api) -> None:
    customer = api.customer()
    card = api.card(customer.id, "authenticationRequired")
    error = refused(lambda: api.charge(customer.id, card))
    assert (error.http_status, error.code) == (402, "authentication_required")


def test_a_bank_that_asks_its_customer_has_a_page_for_it(api: Api) -> None:
    customer = api.customer()
    card = api.card(customer.id, "authenticationRequired")
    back = "https://console.example.com/done"
    intent = api.charge(customer.id, card, off_session=False, return_url=back)
    assert intent.status == "requires_action"
    assert intent.next_action.redirect_to_url.url.startswith("http")
    assert api.v1.payment_intents.cancel(intent.id).status == "canceled"


def test_a_payment_that_is_over_cannot_be_cancelled(api: Api) -> None:
    customer = api.customer()
    intent = api.charge(customer.id, api.card(customer.id))
    error = refused(lambda: api.v1.payment_intents.cancel(intent.id))
    assert (error.http_status, error.code) == (400, "payment_intent_unexpected_state")


def test_a_refund_is_never_more_than_what_was_paid(api: Api) -> None:
    customer = api.customer()
    intent = api.charge(customer.id, api.card(customer.id))
    create = api.v1.refunds.create
    part = create({"payment_intent": intent.id, "amount": 1000, "metadata": {"outbox_id": "1"}})
    assert (part.amount, part.currency, part.payment_intent) == (1000, "eur", intent.id)
    assert refused(lambda: create({"payment_intent": intent.id, "amount": 1501})).http_status == 400
    create({"payment_intent": intent.id})
    error = refused(lambda: create({"payment_intent": intent.id}))
    assert error.code == "charge_already_refunded"
    charge = api.v1.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (2500, True)


# Checkout and the portal


def test_a_checkout_is_open_until_it_is_paid_or_ended(api: Api) -> None:
    customer = api.customer()
    price = {"currency": "eur", "unit_amount": 12500, "product_data": {"name": "Credit"}}
    session = api.v1.checkout.sessions.create(
        {
            "mode": "payment", "customer": customer.id, "allowed_payment_method_types": ["card"],
            "line_items": [{"quantity": 1, "price_data": price}],
            "payment_intent_data": {"setup_future_usage": "off_session"},
            "success_url": "https://console.example.com/?s={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://console.example.com/", "metadata": {"payment": "1"},
        },
        api.key(),
    )  # fmt: skip
    assert (session.status, session.payment_status, session.amount_total) == (
        "open", "unpaid", 12500,
    )  # fmt: skip
    assert (session.payment_intent, session.url.startswith("http")) == (None, True)
    expire = api.v1.checkout.sessions.expire
    assert expire(session.id).status == "expired"
    assert refused(lambda: expire(session.id)).http_status == 400


def test_a_checkout_must_know_where_to_return(api: Api) -> None:
    price = {"currency": "eur", "unit_amount": 12500, "product_data": {"name": "Credit"}}
    params = {"mode": "payment", "line_items": [{"quantity": 1, "price_data": price}]}
    assert refused(lambda: api.v1.checkout.sessions.create(params)).http_status == 400


# Invoices and credit notes


def test_an_invoice_sums_its_lines_and_shows_the_first_of_them(api: Api) -> None:
    customer = api.customer()
    draft = api.invoice(customer.id, *range(100, 112))
    invoice = api.v1.invoices.retrieve(draft.id)
    assert (invoice.status, invoice.subtotal, invoice.total) == ("draft", 1266, 1266)
    assert (len(invoice.lines.data), invoice.lines.has_more) == (10, True)
    lines = api.v1.invoices.line_items.list(draft.id, {"limit": 100}).data
    assert sorted(line.amount for line in lines) == list(range(100, 112))


def test_a_finalised_invoice_cannot_be_edited(api: Api) -> None:
    customer = api.customer(email="money@example.com")
    draft = api.invoice(customer.id, 1000, auto_advance=False)
    invoice = api.v1.invoices.finalize_invoice(draft.id, {"auto_advance": False}, api.key())
    assert (invoice.status, invoice.amount_due) == ("open", 1000)
    assert invoice.number
    assert invoice.hosted_invoice_url.startswith("http")
    line = {"customer": customer.id, "invoice": draft.id, "amount": 5, "currency": "eur"}
    assert refused(lambda: api.v1.invoice_items.create(line)).http_status == 400
    assert refused(lambda: api.v1.invoices.finalize_invoice(draft.id)).http_status == 400
    assert refused(lambda: api.v1.invoices.delete(draft.id)).http_status == 400
    assert api.v1.invoices.void_invoice(draft.id).status == "void"
    assert refused(lambda: api.v1.invoices.pay(draft.id)).http_status == 400


def test_an_invoice_has_one_currency(api: Api) -> None:
    customer = api.customer()
    draft = api.invoice(customer.id)
    line = {"customer": customer.id, "invoice": draft.id, "amount": 500, "currency": "sek"}
    assert refused(lambda: api.v1.invoice_items.create(line)).http_status == 400


def test_an_invoice_is_paid_by_card_or_elsewhere(api: Api) -> None:
    customer = api.customer()
    card = api.card(customer.id)
    by_card, elsewhere = (api.invoice(customer.id, 1000) for _ in range(2))
    for one in (by_card, elsewhere):
        api.v1.invoices.finalize_invoice(one.id)
    paid = api.v1.invoices.pay(by_card.id, {"payment_method": card})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 1000, 0)
    assert api.v1.invoices.pay(elsewhere.id, {"paid_out_of_band": True}).status == "paid"
    whole = api.v1.invoices.retrieve(by_card.id, {"expand": ["payments"]})
    assert [one.status for one in whole.payments.data] == ["paid"]


def test_an_invoice_that_is_uncollectible_can_still_be_paid(api: Api) -> None:
    customer = api.customer()
    draft, paid = (api.invoice(customer.id, 1000) for _ in range(2))
    card = {"payment_method": api.card(customer.id)}
    for one in (draft, paid):
        api.v1.invoices.finalize_invoice(one.id)
    api.v1.invoices.pay(paid.id, card)
    assert refused(lambda: api.v1.invoices.mark_uncollectible(paid.id)).http_status == 400
    assert api.v1.invoices.mark_uncollectible(draft.id).status == "uncollectible"
    assert api.v1.invoices.pay(draft.id, card).status == "paid"


def test_tax_is_on_top_of_an_invoice(api: Api) -> None:
    rate = api.v1.tax_rates.create(
        {"display_name": "VAT", "percentage": "25", "inclusive": False, "country": "SE"}
    )
    customer = api.customer()
    draft = api.invoice(customer.id, 1001, default_tax_rates=[rate.id])
    invoice = api.v1.invoices.retrieve(draft.id)
    assert (invoice.subtotal, invoice.total) == (1001, 1251)
    assert [tax.amount for tax in invoice.total_taxes] == [250]


def test_a_credit_note_lessens_what_is_to_pay(api: Api) -> None:
    customer = api.customer()
    draft = api.invoice(customer.id, 1000)
    api.v1.invoices.finalize_invoice(draft.id)
    create = api.v1.credit_notes.create
    note = create({"invoice": draft.id, "amount": 400, "reason": "order_change"}, api.key())
    assert (note.total, note.status, note.type) == (400, "issued", "pre_payment")
    assert api.v1.invoices.retrieve(draft.id).amount_remaining == 600
    assert refused(lambda: create({"invoice": draft.id, "amount": 601})).http_status == 400
    api.v1.credit_notes.void_credit_note(note.id)
    assert api.v1.invoices.retrieve(draft.id).amount_remaining == 1000


def test_a_credit_note_of_a_paid_invoice_says_how_it_is_paid_back(api: Api) -> None:
    customer = api.customer()
    draft = api.invoice(customer.id, 1000)
    api.v1.invoices.finalize_invoice(draft.id)
    api.v1.invoices.pay(draft.id, {"payment_method": api.card(customer.id)})
    note = {"invoice": draft.id, "amount": 400}
    assert refused(lambda: api.v1.credit_notes.create(note)).http_status == 400
    made = api.v1.credit_notes.create({**note, "refund_amount": 400})
    assert (made.type, len(made.refunds)) == ("post_payment", 1)
    again = {"invoice": draft.id, "amount": 601, "out_of_band_amount": 601}
    assert refused(lambda: api.v1.credit_notes.create(again)).http_status == 400
    line = {"type": "custom_line_item", "quantity": 1, "unit_amount": 600, "description": "Slow"}
    elsewhere = {"invoice": draft.id, "lines": [line], "out_of_band_amount": 600}
    assert api.v1.credit_notes.create(elsewhere).out_of_band_amount == 600


# Expansion


def test_only_what_can_be_expanded_is(api: Api) -> None:
    customer = api.customer()
    draft = api.invoice(customer.id, 100)
    whole = api.v1.invoices.retrieve(draft.id, {"expand": ["customer"]})
    assert whole.customer.name == "Acme AB"
    listed = api.v1.invoices.list({"customer": customer.id, "expand": ["data.customer"]})
    assert listed.data[0].customer.id == customer.id
    error = refused(lambda: api.v1.invoices.retrieve(draft.id, {"expand": ["moon"]}))
    assert error.http_status == 400
    assert "cannot be expanded" in str(error.user_message)
