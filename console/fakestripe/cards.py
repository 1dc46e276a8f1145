"""Stripe's test cards: what each does is known from its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import stripe

from console.fakestripe.account import Account
from console.fakestripe.http import Object, Refusal


@dataclass(frozen=True, slots=True)
class Card:
    """`refused` is the decline code of a charge. `asks`: whether 3-D Secure is asked for: never,
    always, or for cards that nobody set up for charges without their holder."""

    number: str
    brand: str = "visa"
    refused: str = ""
    attaches: bool = True
    asks: str = "never"

    @property
    def last4(self) -> str:
        return self.number[-4:]


CARDS: Final = {
    "visa": Card("4242424242424242"),
    "mastercard": Card("5555555555554444", "mastercard"),
    "amex": Card("378282246310005", "amex"),
    "chargeDeclined": Card("4000000000000002", refused="generic_decline", attaches=False),
    "chargeDeclinedInsufficientFunds": Card(
        "4000000000009995", refused="insufficient_funds", attaches=False
    ),
    "chargeDeclinedExpiredCard": Card("4000000000000069", refused="expired_card", attaches=False),
    "chargeCustomerFail": Card("4000000000000341", refused="generic_decline"),
    "authenticationRequired": Card("4000002760003184", asks="always"),
    "authenticationRequiredOnSetup": Card("4000002500003155", asks="unless set up"),
}
"""By the names of Stripe's test payment methods, `pm_card_…`, and tokens, `tok_…`."""

BY_NUMBER: Final = {card.number: card for card in CARDS.values()}
_BY_LAST4: Final = {card.last4: card for card in CARDS.values()}
MESSAGES: Final = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "generic_decline": "Your card was declined.",
    "authentication_required": (
        "Your card was declined. This transaction requires authentication."
    ),
}


def card_of(method: Object) -> Card:
    return _BY_LAST4[method["card"]["last4"]]


def method_new(account: Account, card: Card, **given: object) -> Object:
    """A payment method, of nobody yet."""
    details = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    return account.new(
        stripe.PaymentMethod, "pm", type="card", metadata={},
        billing_details=given.pop("billing_details", None) or details, customer=None,
        card=_card(account, card), **given,
    )  # fmt: skip


def _card(account: Account, card: Card) -> Object:
    return {
        "brand": card.brand, "checks": None, "country": "US", "display_brand": card.brand,
        "exp_month": 12, "exp_year": 2034, "fingerprint": account.new_id("f", 14)[2:],
        "funding": "credit", "generated_from": None, "last4": card.last4, "networks": None,
        "regulated_status": "unregulated", "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }  # fmt: skip


def must_ask(method: Object) -> bool:
    """Whether a charge needs 3-D Secure."""
    asks = card_of(method).asks
    return asks == "always" or (asks == "unless set up" and not method.get("_is_set_up"))


def declined(reason: str, **more: object) -> Refusal:
    """402, as for a card that its bank refuses for `reason`."""
    is_own = reason in ("expired_card", "authentication_required")
    code = reason if is_own else "card_declined"
    return Refusal(
        402, "card_error", MESSAGES[reason], code=code,
        decline_code=None if reason == "expired_card" else reason, **more,
    )  # fmt: skip
