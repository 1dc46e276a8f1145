"""Trees, VAT, rounding and journals, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.invoices.lines import Line, Paid, rounded, settled_lines
from billing.invoices.merkle import Merkle
from billing.ledger import AccountKey, BooksError
from billing.ledger.journals import Leg, moves
from billing.models import AccountKind, LineKind, VatTreatment
from billing.vat import RATES, vat_rule

CENT = Decimal("0.01")
exact = st.integers(0, 10**15).map(lambda picos: Decimal(picos).scaleb(-12))


def tree(lines: list[bytes]) -> bytes:
    """As RFC 6962 defines it."""
    if not lines:
        return sha256().digest()
    if len(lines) == 1:
        return sha256(b"\0" + lines[0]).digest()
    half = 1
    while half * 2 < len(lines):
        half *= 2
    return sha256(b"\1" + tree(lines[:half]) + tree(lines[half:])).digest()


@given(st.lists(st.binary(max_size=3), max_size=40))
def test_a_tree_that_grows_has_the_root_of_the_whole(lines: list[bytes]) -> None:
    merkle = Merkle()
    for line in lines:
        merkle.add(line)
    assert merkle.root == tree(lines).hex()
    assert merkle.count == len(lines)


@given(st.sampled_from(["SE", "DE", "GR", "NO", "US"]), st.booleans(), st.booleans())
def test_vat_is_charged_but_to_proven_businesses_abroad_and_outside(
    country: str, is_business: bool, has_valid_id: bool
) -> None:
    vat = vat_rule(country, is_business=is_business, has_valid_id=has_valid_id)
    is_free = country not in RATES or (country != "SE" and is_business and has_valid_id)
    assert vat.rate == (0 if is_free else RATES[country])
    assert bool(vat.note) is is_free
    assert (vat.treatment == VatTreatment.REVERSE_CHARGE) is (is_free and country in RATES)
    assert vat.note == vat.note.strip()


@dataclass(frozen=True)
class Off:
    from_amount: Decimal
    percent: Decimal
    exact: Decimal


@given(st.lists(exact, max_size=8), st.data())
def test_lines_are_rounded_once_and_add_up_to_what_is_left_to_pay(
    costs: list[Decimal], data: st.DataObject
) -> None:
    """I-12: each line is within half a cent, and the sum differs by what the lines do."""
    usage = [Line(LineKind.USAGE, cost, rounded(cost), "", date(2026, 3, 1)) for cost in costs]
    total = sum(costs, Decimal(0))
    promo = data.draw(st.sampled_from([Decimal(0), total / 3, total])).quantize(total)
    prepaid = data.draw(st.sampled_from([Decimal(0), (total - promo) / 2, total - promo]))
    paid = Paid(promo, prepaid.quantize(total), total - promo - prepaid.quantize(total))
    assume(min(paid) >= 0)
    off = (total * data.draw(st.integers(0, 100)) / 100).quantize(total)
    lines = settled_lines(usage, [Off(Decimal(0), Decimal(1), -off)], paid, "EUR")
    let_off = min(off, paid.unbilled + paid.prepaid)
    left = sum((line.exact for line in lines), Decimal(0))
    assert left == max(paid.unbilled - let_off, Decimal(0))
    subtotal = sum((line.amount for line in lines), Decimal(0))
    assert subtotal >= 0
    assert all(abs(line.amount - line.exact) <= CENT / 2 for line in lines[:-1])
    if paid.promo or paid.prepaid:
        assert subtotal == rounded(left)


def account(number: int) -> AccountKey:
    return AccountKey(None, AccountKind.REVENUE, str(number))


@given(st.lists(st.integers(0, 50), max_size=5), st.lists(st.integers(0, 50), max_size=5))
def test_a_journal_moves_all_that_is_debited_to_all_that_is_credited(
    debited: list[int], credited: list[int]
) -> None:
    debits = [Leg(account(place), Decimal(amount)) for place, amount in enumerate(debited)]
    credits_ = [Leg(account(99 + place), Decimal(amount)) for place, amount in enumerate(credited)]
    if sum(debited) != sum(credited):
        with pytest.raises(BooksError, match="Not the same sum"):
            list(moves(debits, credits_))
        return
    found = list(moves(debits, credits_))
    assert all(move.amount > 0 for move in found)
    for side, legs in (("debit", debits), ("credit", credits_)):
        for leg in legs:
            moved = sum(move.amount for move in found if getattr(move, side) == leg.account)
            assert moved == leg.amount
