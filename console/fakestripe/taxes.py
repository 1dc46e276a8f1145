"""Tax rates, and what they make of an amount in cents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import stripe

from console.fakestripe.account import Account
from console.fakestripe.http import Object, invalid
from console.fakestripe.objects import metadata_merged


@dataclass(frozen=True, slots=True)
class Amount:
    net: int
    tax: int
    taxes: Sequence[Object] = ()

    @property
    def gross(self) -> int:
        return self.net + self.tax


def rate_create(account: Account, given: Object) -> Object:
    if not 0 <= given["percentage"] <= 100:
        message = "Tax rate percentage must be between 0 and 100."
        raise invalid(message, "percentage")
    names = ("country", "description", "jurisdiction", "state", "tax_type")
    rate = account.new(
        stripe.TaxRate, "txr", active=given.get("active", True), inclusive=given["inclusive"],
        display_name=given["display_name"], percentage=float(given["percentage"]),
        effective_percentage=float(given["percentage"]), rate_type="percentage",
        metadata=metadata_merged({}, given.get("metadata")),
        **{name: given.get(name) for name in names},
    )  # fmt: skip
    account.happened("tax_rate.created", rate)
    return rate


def rate_update(account: Account, given: Object, rate_id: str) -> Object:
    rate = account.get("tax_rate", rate_id)
    before = account.shown(rate)
    rate |= {
        name: given[name] for name in ("active", "description", "display_name") if name in given
    }
    rate["metadata"] = metadata_merged(rate["metadata"], given.get("metadata"))
    account.happened("tax_rate.updated", account.put(rate), before)
    return rate


def rates_of(account: Account, ids: Iterable[str] | None) -> list[Object]:
    return [account.get("tax_rate", rate_id, "tax_rates") for rate_id in ids or ()]


def taxed(amount: int, rates: Iterable[Object]) -> Amount:
    """Each rate alone, rounded half up, on top of the amount or in it."""
    net, taxes = amount, []
    for rate in rates:
        share = Decimal(str(rate["percentage"])) / 100
        exact = amount - amount / (1 + share) if rate["inclusive"] else amount * share
        tax = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
        net -= tax if rate["inclusive"] else 0
        taxes.append(_tax(rate, tax))
    taxes = [one | {"taxable_amount": net} for one in taxes]
    return Amount(net, sum(one["amount"] for one in taxes), taxes)


def _tax(rate: Object, amount: int) -> Object:
    return {
        "amount": amount, "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]}, "taxability_reason": "not_available",
        "type": "tax_rate_details",
    }  # fmt: skip


def summed(taxes: Iterable[Object]) -> list[Object]:
    """One for each rate, as on an invoice's total."""
    sums: dict[str, Object] = {}
    for tax in taxes:
        rate = tax["tax_rate_details"]["tax_rate"]
        before = sums.get(rate, {"amount": 0, "taxable_amount": 0})
        more = {name: before[name] + tax[name] for name in ("amount", "taxable_amount")}
        sums[rate] = tax | more
    return list(sums.values())
