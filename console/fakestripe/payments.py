"""Payment intents, and the charges that they make."""

from __future__ import annotations

from typing import Any, Final

import stripe

from console.fakestripe.account import (
    DAY_S,
    Account,
    amount_check,
    currency_of,
    unexpected,
)
from console.fakestripe.cards import MESSAGES, card_of, declined, must_ask
from console.fakestripe.customers import attach, method_find
from console.fakestripe.http import Object, invalid
from console.fakestripe.objects import metadata_merged

FEE: Final = {"eur": (15, 25), "sek": (15, 180)}
"""Of a charge: so many thousandths, and so many cents besides."""
_WAITING: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
STATE: Final = "payment_intent_unexpected_state"


def intent_create(account: Account, given: Object) -> Object:
    """Raises Refusal with 402 when it is to be confirmed and the card is refused."""
    currency = currency_of(given["currency"])
    amount_check(given["amount"], currency)
    if given.get("off_session") and not given.get("confirm"):
        raise invalid("You can only set off_session when confirm is true.", "off_session")
    if customer := given.get("customer"):
        account.get("customer", customer, "customer")
    method = _method(account, given, customer)
    if given.get("confirm"):
        _confirmable(given, method)
    intent = intent_new(account, given["amount"], currency, given, method)
    if given.get("confirm"):
        confirm(account, intent, given)
    return intent


def intent_new(
    account: Account, amount: int, currency: str, given: Object, method: Object | None = None
) -> Object:
    intent = account.new(
        stripe.PaymentIntent, "pi", amount=amount, currency=currency, amount_capturable=0,
        amount_details={"tip": {}}, amount_received=0, capture_method="automatic_async",
        confirmation_method="automatic", customer=given.get("customer"),
        description=given.get("description"), metadata=metadata_merged({}, given.get("metadata")),
        payment_method=method and method["id"], payment_method_types=["card"],
        payment_method_options={"card": {"request_three_d_secure": "automatic"}},
        receipt_email=given.get("receipt_email"),
        setup_future_usage=given.get("setup_future_usage"),
        statement_descriptor_suffix=given.get("statement_descriptor_suffix"),
        status="requires_confirmation" if method else "requires_payment_method",
    )  # fmt: skip
    if "allowed_payment_method_types" not in given:
        asked = given.get("automatic_payment_methods") or {}
        redirects = asked.get("allow_redirects", "always")
        intent["automatic_payment_methods"] = {"allow_redirects": redirects, "enabled": True}
    intent["client_secret"] = f"{intent['id']}_{account.new_id('secret')}"
    account.happened("payment_intent.created", account.put(intent))
    return intent


def _method(account: Account, given: Object, customer: str | None) -> Object | None:
    if not (method_id := given.get("payment_method")):
        return None
    method = method_find(account, method_id, "payment_method")
    if method["customer"] and method["customer"] != customer:
        raise invalid(
            "The provided PaymentMethod cannot be attached. To reuse a PaymentMethod, you must "
            "attach it to a Customer first.",
            "payment_method",
        )
    return method


def _confirmable(given: Object, method: Object | None) -> Object:
    """`method`, when an intent can be confirmed with it. Raises Refusal."""
    if method is None:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
            "either update the PaymentIntent with a payment method and then confirm it again, or "
            "confirm it again directly with a payment method or ConfirmationToken."
        )
        raise invalid(message, None, STATE)
    asked = given.get("automatic_payment_methods") or {}
    is_bound = "allowed_payment_method_types" in given or asked.get("allow_redirects") == "never"
    if not (is_bound or given.get("off_session") or given.get("return_url")):
        message = (
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. "
            "Because some of these payment methods might redirect your customer off of your page, "
            "you must provide a `return_url`. If you don't want to accept redirect-based payment "
            "methods, set `automatic_payment_methods[enabled]` to `true` and "
            "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and Payment Intents."
        )
        raise invalid(message)
    return method


def intent_confirm(account: Account, given: Object, intent_id: str) -> Object:
    intent = account.get("payment_intent", intent_id)
    if intent["status"] not in _WAITING:
        raise unexpected("confirm", intent, STATE)
    method_id = given.get("payment_method") or intent["payment_method"]
    method = _method(account, {"payment_method": method_id}, intent["customer"])
    automatic = intent["automatic_payment_methods"]
    bound = "automatic_payment_methods" if automatic else "allowed_payment_method_types"
    asked = given | {bound: automatic or ["card"]}
    intent["payment_method"] = _confirmable(asked, method)["id"]
    intent["setup_future_usage"] = given.get("setup_future_usage") or intent["setup_future_usage"]
    confirm(account, intent, given)
    return intent


def confirm(account: Account, intent: Object, given: Object) -> None:
    """Charge the intent's payment method, or ask its holder. Raises Refusal."""
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    if not must_ask(method):
        charge(account, intent, method)
    elif given.get("off_session") or given.get("error_on_requires_action"):
        _refuse(account, intent, method, "authentication_required")
    else:
        _ask(account, intent, given.get("return_url"))


def _ask(account: Account, intent: Object, return_url: str | None) -> None:
    """For 3-D Secure, on a page of the bank."""
    page = f"{account.url}/authenticate/{intent['id']}"
    redirect = {"return_url": return_url, "url": page}
    intent["next_action"] = {"redirect_to_url": redirect, "type": "redirect_to_url"}
    intent["status"] = "requires_action"
    account.happened("payment_intent.requires_action", account.put(intent))


def authenticated(account: Account, intent: Object, *, is_holder: bool) -> None:
    """The bank has asked the holder. Raises Refusal when it was not them, or the card is bad."""
    method = account.get("payment_method", intent["payment_method"])
    intent["next_action"] = None
    if not is_holder:
        _refuse(account, intent, method, "authentication_required")
    method["_is_set_up"] = bool(intent["setup_future_usage"])
    account.put(method)
    charge(account, intent, method)


def charge(account: Account, intent: Object, method: Object) -> None:
    """Raises Refusal when the bank refuses, with the failed charge kept."""
    if refused := card_of(method).refused:
        _refuse(account, intent, method, refused)
    made = _charge_new(account, intent, method, amount_captured=intent["amount"], captured=True)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "next_action": None}
    intent |= {"latest_charge": made["id"], "last_payment_error": None}
    account.put(intent)
    _settle_in_time(account, made)
    if intent["setup_future_usage"] and intent["customer"]:
        attach(account, method, intent["customer"])
    account.happened("charge.succeeded", made)
    account.happened("payment_intent.succeeded", intent)


def _refuse(account: Account, intent: Object, method: Object, reason: str) -> None:
    code = "card_declined" if reason not in ("expired_card", "authentication_required") else reason
    failed = _charge_new(
        account, intent, method, amount_captured=0, captured=False, status="failed", paid=False,
        failure_code=code, failure_message=MESSAGES[reason],
    )  # fmt: skip
    refusal = declined(reason, charge=failed["id"], payment_method=account.shown(method))
    intent |= {"status": "requires_payment_method", "payment_method": None}
    intent |= {"latest_charge": failed["id"], "last_payment_error": dict(refusal.error)}
    account.put(intent)
    account.happened("charge.failed", failed)
    account.happened("payment_intent.payment_failed", intent)
    refusal.error["payment_intent"] = account.shown(intent)
    raise refusal


def _charge_new(account: Account, intent: Object, method: Object, **given: Any) -> Object:
    fields = {"status": "succeeded", "paid": True} | given
    is_paid = fields["paid"]
    card = {name: method["card"][name] for name in ("brand", "exp_month", "exp_year", "last4")}
    return account.new(
        stripe.Charge, "ch", amount=intent["amount"], amount_refunded=0,
        billing_details=method["billing_details"], currency=intent["currency"],
        customer=intent["customer"], description=intent["description"], disputed=False,
        metadata=dict(intent["metadata"]), payment_intent=intent["id"],
        payment_method=method["id"], payment_method_details={"card": card, "type": "card"},
        refunded=False, fraud_details={},
        outcome={
            "network_status": "approved_by_network" if is_paid else "declined_by_network",
            "reason": None if is_paid else fields["failure_code"], "risk_level": "normal",
            "seller_message": "Payment complete." if is_paid else "The bank did not say why.",
            "type": "authorized" if is_paid else "issuer_declined",
        }, **fields,
    )  # fmt: skip


def _settle_in_time(account: Account, made: Object) -> None:
    if account.settles_after_s:
        account.later(account.settles_after_s, "settle", made)
    else:
        made["balance_transaction"] = _settle(account, made)
        account.put(made)


def settle(account: Account, made: Object) -> None:
    """A captured charge learns of its fee a little later, as with asynchronous capture."""
    before = account.shown(made)
    made["balance_transaction"] = _settle(account, made)
    account.happened("charge.updated", account.put(made), before)


def _settle(account: Account, made: Object) -> str:
    share, fixed = FEE.get(made["currency"], FEE["eur"])
    fee = (made["amount"] * share + 500) // 1000 + fixed
    detail = {
        "amount": fee, "application": None, "currency": made["currency"],
        "description": "Stripe processing fees", "type": "stripe_fee",
    }  # fmt: skip
    entry = balance_entry(account, made, "charge", made["amount"], fee)
    account.put(entry | {"fee_details": [detail]})
    return str(entry["id"])


def balance_entry(account: Account, source: Object, kind: str, amount: int, fee: int = 0) -> Object:
    return account.new(
        stripe.BalanceTransaction, "txn", amount=amount, fee=fee, net=amount - fee, type=kind,
        reporting_category=kind, currency=source["currency"], source=source["id"],
        balance_type="payments", status="pending", available_on=account.now() + 7 * DAY_S,
    )  # fmt: skip


def intent_cancel(account: Account, given: Object, intent_id: str) -> Object:
    intent = account.get("payment_intent", intent_id)
    if intent["status"] not in _WAITING:
        raise unexpected("cancel", intent, STATE)
    intent_end(account, intent, given.get("cancellation_reason"))
    return intent


def intent_end(account: Account, intent: Object, reason: str | None) -> None:
    intent |= {"status": "canceled", "canceled_at": account.now(), "next_action": None}
    intent["cancellation_reason"] = reason
    account.happened("payment_intent.canceled", account.put(intent))


def intent_update(account: Account, given: Object, intent_id: str) -> Object:
    intent = account.get("payment_intent", intent_id)
    if "amount" in given or "currency" in given or "payment_method" in given:
        if intent["status"] not in _WAITING:
            raise unexpected("update the amount of", intent, STATE)
        intent["amount"] = given["amount"] if "amount" in given else intent["amount"]
        amount_check(intent["amount"], intent["currency"])
    if method := _method(account, given, intent["customer"]):
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    if "description" in given:
        intent["description"] = given["description"] or None
    intent["metadata"] = metadata_merged(intent["metadata"], given.get("metadata"))
    return account.put(intent)


ACTS: Final[dict[str, Any]] = {"settle": settle}
