from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Terms
from billing.price_books import list_book, price_book_create, tiers_set
from billing.volume import Tier, discount_lines, discounts
from tests.conftest import Cast

amounts = st.decimals(0, 100_000, places=12)
tiers = st.lists(
    st.builds(Tier, st.decimals(0, 50_000, places=2), st.decimals(0, 100, places=2)),
    max_size=4, unique_by=lambda tier: tier.from_amount,
).map(lambda found: sorted(found))  # fmt: skip


@dataclass(frozen=True)
class Line:
    exact: Decimal


def off(found: list[Tier], *parts: Decimal) -> Decimal:
    return -sum((one.exact for one in discounts(found, parts)), Decimal(0))


@given(found=tiers, less=amounts, more=amounts)
def test_nobody_pays_less_by_using_more_and_never_below_nothing(
    found: list[Tier], less: Decimal, more: Decimal
) -> None:
    assert 0 <= off(found, less) <= less
    assert less - off(found, less) <= less + more - off(found, less, more) + Decimal("1e-11")
    assert off(found, less, more) == off(found, less + more) == off(found, more, less)


def test_each_tier_is_of_the_part_between_it_and_the_next() -> None:
    found = [Tier(Decimal(100), Decimal(10)), Tier(Decimal(1000), Decimal(20))]
    assert [tuple(map(str, one)) for one in discounts(found, [Decimal(600), Decimal(650)])] == [
        ("100", "10", "900", "-90.000000000000"), ("1000", "20", "250", "-50.000000000000")
    ]  # fmt: skip
    assert discounts(found, [Decimal(100)]) == discounts([], [Decimal(100)]) == []
    assert off(found, Decimal("100.5")) == Decimal("0.05")


def test_a_discount_is_rounded_half_to_even_at_twelve_decimals() -> None:
    eighth = [Tier(Decimal(0), Decimal("12.5"))]
    found = [off(eighth, Decimal(f"1.0000000000{picos}")) for picos in ("04", "12")]
    assert [str(one) for one in found] == ["0.125000000000", "0.125000000002"]


def test_the_nearest_book_with_tiers_decides(cast: Cast) -> None:
    own = price_book_create(actor=None, slug="own", name="Own", parent=list_book())
    Terms.objects.create(organization=cast.acme, book=own)
    lines = [Line(Decimal(30)), Line(Decimal(70))]
    assert discount_lines(cast.acme, lines) == []
    tiers_set(actor=cast.oskar, book=list_book(), tiers=[(Decimal(50), Decimal(10))])
    assert [one.exact for one in discount_lines(cast.acme, lines)] == [Decimal(-5)]
    tiers_set(actor=cast.oskar, book=own, tiers=[(Decimal(0), Decimal("12.5"))])
    assert [one.exact for one in discount_lines(cast.acme, lines)] == [Decimal("-12.5")]
    assert [one.exact for one in discount_lines(cast.rival, lines)] == [Decimal(-5)]


@pytest.mark.parametrize(
    "wrong", [[("0", "101")], [("-1", "5")], [("5", "1"), ("5", "2")], [("0", "-1")]]
)
def test_tiers_that_make_no_sense_are_refused(cast: Cast, wrong: list[tuple[str, str]]) -> None:
    asked = [(Decimal(start), Decimal(percent)) for start, percent in wrong]
    with pytest.raises(ValidationError):
        tiers_set(actor=cast.oskar, book=list_book(), tiers=asked)
