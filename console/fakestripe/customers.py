"""Customers, their tax ids and their payment methods."""

from __future__ import annotations

import re
from typing import Any, Final

import stripe

from console.fakestripe.account import Account
from console.fakestripe.cards import BY_NUMBER, CARDS, card_of, declined, method_new
from console.fakestripe.http import Object, invalid, no_such
from console.fakestripe.objects import address_of, metadata_merged

_PLAIN: Final = (
    "name", "email", "phone", "description", "tax_exempt", "preferred_locales", "business_name",
    "individual_name", "shipping", "invoice_prefix", "next_invoice_sequence", "balance",
)  # fmt: skip
_SETTINGS: Final = {
    "custom_fields": None, "default_payment_method": None, "footer": None,
    "rendering_options": None,
}  # fmt: skip
TAX_IDS: Final = {
    "eu_vat": r"[A-Z]{2}(?=.*\d)[0-9A-Z+*]{2,12}",
    "se_org": r"\d{6}-?\d{4}",
    "gb_vat": r"GB(\d{9}|\d{12}|GD\d{3}|HA\d{3})",
    "no_vat": r"\d{9}MVA",
    "ch_vat": r"CHE-?\d{3}\.?\d{3}\.?\d{3}( (MWST|TVA|IVA))?",
}
VERIFIED_AFTER_S: Final = 60


def customer_create(account: Account, given: Object) -> Object:
    customer = account.new(
        stripe.Customer, "cus", tax_exempt="none", preferred_locales=[], balance=0,
        delinquent=False, metadata={}, next_invoice_sequence=1, invoice_settings=dict(_SETTINGS),
        invoice_prefix="".join(account.random.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=8)),
    )  # fmt: skip
    _fill(customer, given)
    account.happened("customer.created", customer)
    for tax_id in given.get("tax_id_data", ()):
        tax_id_create(account, tax_id, customer["id"])
    if method := given.get("payment_method"):
        method_attach(account, {"customer": customer["id"]}, method)
    return customer


def customer_update(account: Account, given: Object, customer_id: str) -> Object:
    customer = account.get("customer", customer_id)
    before = account.shown(customer)
    settings = given.get("invoice_settings") or {}
    if method := settings.get("default_payment_method"):
        param = "invoice_settings[default_payment_method]"
        if account.get("payment_method", method, param)["customer"] != customer_id:
            raise _not_attached(method, param)
    _fill(customer, given)
    account.happened("customer.updated", account.put(customer), before)
    return customer


def _fill(customer: Object, given: Object) -> None:
    for name in _PLAIN:
        if name in given:
            customer[name] = None if given[name] == "" else given[name]
    if "address" in given:
        customer["address"] = address_of(given["address"])
    if "metadata" in given:
        customer["metadata"] = metadata_merged(customer["metadata"], given["metadata"])
    for name, value in (given.get("invoice_settings") or {}).items():
        customer["invoice_settings"][name] = None if value == "" else value


def customer_retrieve(account: Account, given: Object, customer_id: str) -> Object:
    """One that was deleted says so."""
    found = account.store.find(customer_id)
    if found and found["object"] == "customer" and found.get("deleted"):
        return {"id": customer_id, "object": "customer", "deleted": True}
    return account.get("customer", customer_id)


def customer_delete(account: Account, given: Object, customer_id: str) -> Object:
    customer = account.get("customer", customer_id)
    account.happened("customer.deleted", customer)
    for method in methods_of(account, customer_id):
        account.put(method | {"customer": None})
    account.put(customer | {"deleted": True})
    return {"id": customer_id, "object": "customer", "deleted": True}


# Tax ids


def tax_id_create(account: Account, given: Object, customer_id: str = "") -> Object:
    wanted = customer_id or (given.get("owner") or {}).get("customer", "")
    account.get("customer", wanted, "id" if customer_id else "owner[customer]")
    kind, value = given["type"], given["value"].replace(" ", "")
    if not re.fullmatch(TAX_IDS.get(kind, r"\S{2,30}"), value):
        raise invalid(f"Invalid value for {kind}.", "value", "tax_id_invalid")
    waits = {"status": "pending", "verified_address": None, "verified_name": None}
    tax_id = account.new(
        stripe.TaxId, "txi", customer=wanted, type=kind, value=value,
        country=value[:2] if kind == "eu_vat" else kind[:2].upper(), verification=waits,
        owner={"account": None, "application": None, "customer": wanted, "type": "customer"},
    )  # fmt: skip
    account.happened("customer.tax_id.created", tax_id)
    account.later(VERIFIED_AFTER_S, "tax_id_verify", tax_id)
    return tax_id


def tax_id_verify(account: Account, tax_id: Object) -> None:
    """The register knows all numbers but those of nothing but ones, as in test mode."""
    before = account.shown(tax_id)
    status = "unverified" if tax_id["value"].endswith("111111111") else "verified"
    tax_id["verification"] = tax_id["verification"] | {"status": status}
    account.happened("customer.tax_id.updated", account.put(tax_id), before)


def tax_id_delete(account: Account, given: Object, customer_id: str, tax_id: str) -> Object:
    found = tax_id_retrieve(account, given, customer_id, tax_id)
    account.store.remove(tax_id)
    account.happened("customer.tax_id.deleted", found)
    return {"id": tax_id, "object": "tax_id", "deleted": True}


def tax_id_retrieve(account: Account, given: Object, customer_id: str, tax_id: str) -> Object:
    account.get("customer", customer_id)
    found = account.get("tax_id", tax_id)
    if found["customer"] != customer_id:
        raise no_such("tax_id", tax_id)
    return found


# Payment methods


def method_create(account: Account, given: Object) -> Object:
    """Of a token: numbers of cards are for the hosted pages, as in an account without a permit."""
    card = given.get("card") or {}
    if given.get("type") != "card":
        raise invalid("Only payment methods of the type card are known here.", "type")
    if "number" in card:
        raise invalid(
            "Sending credit card numbers directly to the Stripe API is generally unsafe. We "
            "suggest you use test tokens that map to the test card you are using, see "
            "https://stripe.com/docs/testing.",
            "card[number]",
        )
    name = card.get("token", "").removeprefix("tok_")
    if name not in CARDS:
        raise no_such("token", card.get("token", ""), "card[token]")
    return method_new(account, CARDS[name])


def method_find(account: Account, method_id: str, param: str = "id") -> Object:
    """A payment method; `pm_card_visa` and its like make a new one each time."""
    if card := CARDS.get(method_id.removeprefix("pm_card_")):
        return method_new(account, card)
    return account.get("payment_method", method_id, param)


def method_attach(account: Account, given: Object, method_id: str) -> Object:
    customer_id = given.get("customer", "")
    account.get("customer", customer_id, "customer")
    method = method_find(account, method_id)
    if method["customer"] not in (None, customer_id):
        message = "The payment method you provided has already been attached to a customer."
        raise invalid(message)
    if not card_of(method).attaches:
        raise declined(card_of(method).refused)
    return attach(account, method, customer_id)


def attach(account: Account, method: Object, customer_id: str) -> Object:
    if method["customer"] != customer_id:
        method["customer"] = customer_id
        account.happened("payment_method.attached", account.put(method))
    return method


def method_detach(account: Account, given: Object, method_id: str) -> Object:
    method = account.get("payment_method", method_id)
    if not (customer_id := method["customer"]):
        message = (
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
        raise invalid(message)
    before = account.shown(method)
    method["customer"] = None
    customer = account.get("customer", customer_id)
    if customer["invoice_settings"]["default_payment_method"] == method_id:
        customer["invoice_settings"]["default_payment_method"] = None
        account.put(customer)
    account.happened("payment_method.detached", account.put(method), before)
    return method


def method_update(account: Account, given: Object, method_id: str) -> Object:
    method = account.get("payment_method", method_id)
    before = account.shown(method)
    method["metadata"] = metadata_merged(method["metadata"], given.get("metadata"))
    method["billing_details"] = method["billing_details"] | (given.get("billing_details") or {})
    account.happened("payment_method.updated", account.put(method), before)
    return method


def methods_of(account: Account, customer_id: str) -> list[Object]:
    methods = account.store.all("payment_method")
    return [method for method in methods if method["customer"] == customer_id]


def method_by_number(account: Account, number: str) -> Object | None:
    """What a person types on a hosted page; None when it is no test card."""
    card = BY_NUMBER.get(re.sub(r"\D", "", number))
    return method_new(account, card) if card else None


def _not_attached(method_id: str, param: str) -> Exception:
    message = (
        f"The customer does not have a payment method with the ID {method_id}. The payment method "
        "must be attached to the customer."
    )
    return invalid(message, param, "resource_missing")


ACTS: Final[dict[str, Any]] = {"tax_id_verify": tax_id_verify}
