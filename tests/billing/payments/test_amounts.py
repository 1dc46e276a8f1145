"""How much can be bought at once, and what of a payment is VAT."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Terms
from billing.payments.amounts import amount_check, parted
from billing.profiles import vat_amount
from tests.conftest import Cast

cents = st.integers(0, 10**9).map(lambda amount: Decimal(amount).scaleb(-2))


@pytest.mark.parametrize(
    ("currency", "least", "most"), [("EUR", "5", "10000"), ("SEK", "50", "100000")]
)
def test_an_amount_is_within_what_its_currency_allows(
    cast: Cast, currency: str, least: str, most: str
) -> None:
    Terms.objects.create(organization=cast.acme, currency=currency)
    cent = Decimal("0.01")
    for amount in (Decimal(least), Decimal(least) + cent, Decimal(most)):
        amount_check(cast.acme, amount)
    for amount in (Decimal(least) - cent, Decimal(most) + cent):
        with pytest.raises(ValidationError, match=f"from .*{least} to "):
            amount_check(cast.acme, amount)
    with pytest.raises(ValidationError, match="two decimals"):
        amount_check(cast.acme, Decimal(least) + cent / 10)


def test_vat_is_rounded_half_up() -> None:
    assert [str(vat_amount(Decimal(net), Decimal(25))) for net in ("0.10", "0.50", "0.49")] == [
        "0.03", "0.13", "0.12"
    ]  # fmt: skip


def test_what_was_paid_is_parted_half_up() -> None:
    assert parted(Decimal("0.09"), Decimal(20)) == (Decimal("0.08"), Decimal("0.01"))
    assert parted(Decimal("0.03"), Decimal(20)) == (Decimal("0.03"), Decimal(0))
    assert parted(Decimal(125), Decimal(25)) == (Decimal(100), Decimal(25))


@given(net=cents, rate=st.sampled_from([0, 17, 19, 25]))
def test_what_was_charged_is_parted_as_it_was_put_together(net: Decimal, rate: int) -> None:
    vat = vat_amount(net, Decimal(rate))
    assert parted(net + vat, Decimal(rate)) == (net, vat)
