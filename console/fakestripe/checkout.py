"""Sessions of Checkout and of the Customer Portal: what their pages are made of."""

from __future__ import annotations

from typing import Any, Final

import stripe
from stripe import billing_portal
from stripe import checkout as sdk_checkout

from console.fakestripe.account import DAY_S, Account, amount_check, currency_of, unexpected
from console.fakestripe.customers import attach, customer_create
from console.fakestripe.http import Object, invalid, missing
from console.fakestripe.objects import metadata_merged, page
from console.fakestripe.payments import confirm, intent_new
from console.fakestripe.taxes import Amount, rates_of, taxed

_KEPT: Final = (
    "billing_address_collection", "cancel_url", "client_reference_id", "customer_creation",
    "customer_email", "locale", "success_url", "submit_type", "return_url", "customer",
)  # fmt: skip


def session_create(account: Account, given: Object) -> Object:
    mode = given.get("mode", "payment")
    _check(account, given, mode)
    session = account.new(
        sdk_checkout.Session, "cs_test", mode=mode, payment_status=_unpaid(mode),
        status="open", automatic_tax={"enabled": False, "liability": None, "status": None},
        custom_text=dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        expires_at=given.get("expires_at", account.now() + DAY_S), payment_method_types=["card"],
        metadata=metadata_merged({}, given.get("metadata")),
        tax_id_collection=given.get("tax_id_collection"),
        ui_mode=given.get("ui_mode", "hosted_page"),
        **{name: given[name] for name in _KEPT if name in given},
    )  # fmt: skip
    _price(account, session, given)
    data = given.get("payment_intent_data") or given.get("setup_intent_data") or {}
    session |= {"_data": data, "_update": given.get("customer_update") or {}}
    session["url"] = f"{account.url}/checkout/{session['id']}"
    account.later(session["expires_at"] - account.now(), "session_expire", session)
    return account.put(session)


def _unpaid(mode: str) -> str:
    return "unpaid" if mode == "payment" else "no_payment_required"


def _check(account: Account, given: Object, mode: str) -> None:
    if mode == "subscription":
        raise invalid("Subscriptions are not known here.", "mode")
    if given.get("ui_mode", "hosted_page") == "hosted_page" and not given.get("success_url"):
        raise missing("success_url")
    if mode == "payment" and not given.get("line_items"):
        raise missing("line_items")
    if mode == "setup" and not given.get("currency"):
        raise missing("currency")
    if customer := given.get("customer"):
        account.get("customer", customer, "customer")
        if given.get("customer_email"):
            raise invalid("You may only specify one of these parameters: customer, customer_email.")
        _check_updates(given)
    lasts_s = given.get("expires_at", account.now() + DAY_S) - account.now()
    if not 1800 <= lasts_s <= DAY_S:
        message = (
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout "
            "Session creation."
        )
        raise invalid(message, "expires_at")


def _check_updates(given: Object) -> None:
    updates = given.get("customer_update") or {}
    if (given.get("tax_id_collection") or {}).get("enabled") and updates.get("name") != "auto":
        raise invalid(
            "Tax ID collection requires updating business name on the customer. To enable tax ID "
            "collection for an existing customer, please set `customer_update[name]` to `auto`."
        )


def _price(account: Account, session: Object, given: Object) -> None:
    """Lines, their sum and their taxes."""
    lines = [
        _line(account, line, f"line_items[{position}]")
        for position, line in enumerate(given.get("line_items", ()))
    ]
    session["_lines"] = lines
    currencies = {line["currency"] for line in lines} or {given.get("currency")}
    if len(currencies) > 1:
        raise invalid("All prices on a Checkout session must use the same currency.", "line_items")
    (session["currency"],) = currencies
    if session["mode"] == "setup":
        return
    total = sum(line["amount_total"] for line in lines)
    amount_check(total, session["currency"])
    session["amount_subtotal"] = sum(line["amount_subtotal"] for line in lines)
    session["amount_total"] = total
    tax = sum(line["amount_tax"] for line in lines)
    session["total_details"] = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": tax}


def _line(account: Account, given: Object, param: str) -> Object:
    price = given.get("price_data")
    if price is None:
        raise missing(f"{param}[price_data]")
    if "product_data" not in price:
        raise missing(f"{param}[price_data][product_data]")
    if "unit_amount" not in price:
        raise missing(f"{param}[price_data][unit_amount]")
    quantity = given.get("quantity", 1)
    currency = currency_of(price["currency"], f"{param}[price_data][currency]")
    sum_: Amount = taxed(price["unit_amount"] * quantity, rates_of(account, given.get("tax_rates")))
    return {
        "id": account.new_id("li"), "object": "item", "currency": currency, "quantity": quantity,
        "description": price["product_data"]["name"], "amount_discount": 0,
        "amount_subtotal": sum_.net, "amount_tax": sum_.tax, "amount_total": sum_.gross,
        "price": {"unit_amount": price["unit_amount"], "currency": currency, "object": "price"},
    }  # fmt: skip


def session_lines(account: Account, given: Object, session_id: str) -> Object:
    session = account.get("checkout.session", session_id)
    return page(session["_lines"], f"/v1/checkout/sessions/{session_id}/line_items")


def session_update(account: Account, given: Object, session_id: str) -> Object:
    session = account.get("checkout.session", session_id)
    session["metadata"] = metadata_merged(session["metadata"], given.get("metadata"))
    return account.put(session)


def session_expire(account: Account, given: Object, session_id: str) -> Object:
    session = account.get("checkout.session", session_id)
    if session["status"] != "open":
        raise unexpected("expire", session, "checkout_session_not_open")
    expire(account, session)
    return session


def expire(account: Account, session: Object) -> None:
    if session["status"] == "open":
        session |= {"status": "expired", "url": None}
        account.happened("checkout.session.expired", account.put(session))


# What a person does on the page


def session_pay(account: Account, session: Object, method: Object, details: Object) -> Object:
    """Pay with `method`; the intent, which may ask for 3-D Secure. Raises Refusal."""
    customer_id = session["customer"] or _customer(account, session, details)
    session |= {"customer": customer_id, "_details": details}
    account.put(session)
    intent = _intent(account, session, customer_id)
    intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    confirm(account, account.put(intent), {"return_url": session["success_url"]})
    if intent["status"] == "succeeded":
        session_complete(account, session)
    return intent


def _intent(account: Account, session: Object, customer_id: str) -> Object:
    """One for all attempts."""
    if found := session["payment_intent"]:
        return account.get("payment_intent", found)
    given = session["_data"] | {"customer": customer_id}
    intent = intent_new(account, session["amount_total"], session["currency"], given)
    intent["_session"] = session["id"]
    session["payment_intent"] = intent["id"]
    account.put(session)
    return account.put(intent)


def _customer(account: Account, session: Object, details: Object) -> str:
    given = {"email": details.get("email") or session["customer_email"]}
    return str(customer_create(account, given)["id"])


def session_complete(account: Account, session: Object) -> None:
    details = session["_details"]
    is_paid = session["mode"] == "payment"
    session |= {"status": "complete", "url": None}
    session["payment_status"] = "paid" if is_paid else "no_payment_required"
    session["customer_details"] = {
        "address": details.get("address"), "email": details.get("email"), "phone": None,
        "name": details.get("name"), "tax_exempt": "none", "tax_ids": [],
        "business_name": None, "individual_name": None,
    }  # fmt: skip
    _customer_update(account, session, details)
    account.happened("checkout.session.completed", account.put(session))


def _customer_update(account: Account, session: Object, details: Object) -> None:
    """What the page was allowed to change of the customer."""
    customer = account.get("customer", session["customer"])
    before = account.shown(customer)
    for name in ("address", "name"):
        if session["_update"].get(name) == "auto" and details.get(name):
            customer[name] = details[name]
    account.happened("customer.updated", account.put(customer), before)


def session_set_up(account: Account, session: Object, method: Object, details: Object) -> None:
    """Save `method` for later."""
    session |= {"customer": session["customer"] or _customer(account, session, details)}
    session["_details"] = details
    method["_is_set_up"] = True
    attach(account, account.put(method), session["customer"])
    intent = account.new(
        stripe.SetupIntent, "seti", status="succeeded", customer=session["customer"],
        payment_method=method["id"], payment_method_types=["card"], usage="off_session",
        metadata=metadata_merged({}, session["_data"].get("metadata")),
    )  # fmt: skip
    session["setup_intent"] = intent["id"]
    account.happened("setup_intent.succeeded", intent)
    session_complete(account, session)


# The Customer Portal


def portal_create(account: Account, given: Object) -> Object:
    if not (customer := given.get("customer")):
        raise missing("customer")
    account.get("customer", customer, "customer")
    configuration = given.get("configuration") or _default_configuration(account)["id"]
    account.get("billing_portal.configuration", configuration, "configuration")
    session = account.new(
        billing_portal.Session, "bps", configuration=configuration, customer=customer,
        return_url=given.get("return_url"), url="", locale=given.get("locale"),
    )  # fmt: skip
    session["url"] = f"{account.url}/portal/{session['id']}"
    return account.put(session)


def _default_configuration(account: Account) -> Object:
    known = account.store.all("billing_portal.configuration")
    return next((one for one in known if one["is_default"]), None) or configuration_create(
        account, {"features": {}}, is_default=True
    )


def configuration_create(account: Account, given: Object, *, is_default: bool = False) -> Object:
    profile = {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None}
    return account.new(
        billing_portal.Configuration, "bpc", active=True, is_default=is_default,
        business_profile=profile | (given.get("business_profile") or {}),
        default_return_url=given.get("default_return_url"), features=given["features"],
        login_page={"enabled": False, "url": None}, updated=account.now(),
        metadata=metadata_merged({}, given.get("metadata")), name=given.get("name"),
    )  # fmt: skip


def configuration_update(account: Account, given: Object, configuration_id: str) -> Object:
    configuration = account.get("billing_portal.configuration", configuration_id)
    for name in ("active", "features", "default_return_url", "business_profile", "name"):
        if name in given:
            configuration[name] = given[name]
    return account.put(configuration | {"updated": account.now()})


ACTS: Final[dict[str, Any]] = {"session_expire": expire}
