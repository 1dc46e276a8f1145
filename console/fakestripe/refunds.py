"""Refunds of charges."""

from __future__ import annotations

import stripe

from console.fakestripe.account import Account
from console.fakestripe.http import Object, invalid
from console.fakestripe.objects import metadata_merged
from console.fakestripe.payments import balance_entry


def refund_create(account: Account, given: Object) -> Object:
    charge = _charge(account, given)
    left = charge["amount"] - charge["amount_refunded"]
    amount = given.get("amount", left)
    if charge["refunded"]:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, None, "charge_already_refunded")
    if amount < 1:
        message = "Invalid positive integer"
        raise invalid(message, "amount", "parameter_invalid_integer")
    if amount > left:
        sign = charge["currency"]
        message = (
            f"Refund amount ({amount / 100:.2f} {sign}) is greater than "
            f"unrefunded amount on charge ({left / 100:.2f} {sign})"
        )
        raise invalid(message, "amount")
    return refund_new(account, charge, amount, given)


def refund_new(account: Account, charge: Object, amount: int, given: Object) -> Object:
    refund = account.new(
        stripe.Refund, "re", amount=amount, charge=charge["id"], currency=charge["currency"],
        metadata=metadata_merged({}, given.get("metadata")), status="succeeded",
        payment_intent=charge["payment_intent"], reason=given.get("reason"),
        destination_details={"card": {"type": "refund"}, "type": "card"},
    )  # fmt: skip
    refund["balance_transaction"] = balance_entry(account, refund, "refund", -amount)["id"]
    before = account.shown(charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    account.put(charge)
    account.happened("refund.created", account.put(refund))
    account.happened("charge.refunded", charge, before)
    return refund


def refund_update(account: Account, given: Object, refund_id: str) -> Object:
    refund = account.get("refund", refund_id)
    before = account.shown(refund)
    refund["metadata"] = metadata_merged(refund["metadata"], given.get("metadata"))
    account.happened("refund.updated", account.put(refund), before)
    return refund


def _charge(account: Account, given: Object) -> Object:
    """The one that was paid of the intent, or the one that is named."""
    if intent_id := given.get("payment_intent"):
        intent = account.get("payment_intent", intent_id, "payment_intent")
        if intent["status"] != "succeeded":
            message = (
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            )
            raise invalid(message, "payment_intent")
        return account.get("charge", intent["latest_charge"])
    if not (charge_id := given.get("charge")):
        message = (
            "One of the following params should be provided for this request: payment_intent or "
            "charge."
        )
        raise invalid(message)
    charge = account.get("charge", charge_id, "charge")
    if not charge["paid"]:
        message = f"Charge {charge_id} is not paid, and cannot be refunded."
        raise invalid(message, "charge")
    return charge
