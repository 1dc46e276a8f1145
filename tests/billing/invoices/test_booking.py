"""What invoices, payments, credit notes and refunds do in the books, to the last edge."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from billing.holds import scopes_state
from billing.invoices import (
    credit_note_issue,
    invoice_close,
    invoice_void,
    invoice_write_off,
    periods_close,
)
from billing.ledger import (
    AccountKey,
    Booked,
    Source,
    books_check,
    fee_book,
    invoices_check,
    payment_book,
    payout_book,
    pending_make,
    prepaid_top_up,
    promo_grant,
    refund_book,
    wallet_read,
)
from billing.models import AccountKind, Invoice, InvoiceState, Mode, Terms
from billing.payments import Rest, invoice_credit, payment_enter
from billing.price_books import list_book, tiers_set
from tests.billing.invoices.conftest import APRIL_1, MAY_1, Use
from tests.billing.ledger.reading import NOON, balances
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
USED = {"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 233_333}
MARCH = APRIL_1.date().replace(month=3)


@pytest.fixture
def invoice(cast: Cast, use: Use) -> Invoice:
    use(USED)
    [made] = periods_close(APRIL_1)
    return made


def pay(invoice: Invoice, amount: str, source_id: str = "in_1") -> Booked:
    return payment_book(
        organization=invoice.organization, invoice=invoice, amount=Decimal(amount),
        source_id=source_id,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prepaid", "returned", "subtotal"),
    [("0.2", "0", "0.22"), ("0.8", "0.37500025", "0.00"), ("9", "0.42499975", "0.00")],
)
def test_a_discount_is_off_what_is_unbilled_and_then_comes_back_as_credit(
    cast: Cast, use: Use, prepaid: str, returned: str, subtotal: str
) -> None:
    tiers_set(actor=None, book=list_book(), tiers=[(Decimal(0), Decimal(50))])
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(prepaid), reference="1")
    use(USED)
    before = balances(cast.acme)
    [made] = periods_close(APRIL_1)
    assert made.subtotal == Decimal(subtotal)
    own = balances(cast.acme)
    assert own.get("prepaid", 0) - before.get("prepaid", 0) == Decimal(returned)
    assert "unbilled" not in own
    assert balances(None)["discount"] == Decimal("-0.42499975")
    assert invoices_check() == books_check() == []


def test_a_void_invoice_takes_its_discount_back(cast: Cast, use: Use) -> None:
    tiers_set(actor=None, book=list_book(), tiers=[(Decimal(0), Decimal(50))])
    use(USED)
    before = balances(cast.acme), balances(None)
    [made] = periods_close(APRIL_1)
    assert balances(cast.acme) == {"receivable": -made.total}
    invoice_void(actor=None, invoice=made, reason="Wrong address")
    assert (balances(cast.acme), balances(None)) == before


def test_each_act_counts_for_the_next_request(
    cast: Cast, use: Use, django_capture_on_commit_callbacks: Any
) -> None:
    Terms.objects.create(organization=cast.acme, mode=Mode.PREPAID)
    use(USED)

    def done(act: Callable[[], object]) -> None:
        """It makes a newer version, and what may be spent is what the books say."""
        before = wallet_read([cast.acme.pk])[cast.acme.pk]
        with django_capture_on_commit_callbacks(execute=True):
            act()
            assert wallet_read([cast.acme.pk])[cast.acme.pk].version > before.version
        after = wallet_read([cast.acme.pk])[cast.acme.pk]
        nano = int((after.balance * 10**9).to_integral_value("ROUND_FLOOR"))
        assert scopes_state(cast.acme.pk)["w"].balance == nano

    done(lambda: invoice_close(cast.acme, MARCH, APRIL_1))
    first = Invoice.objects.get()
    done(lambda: invoice_void(actor=None, invoice=first, reason="Wrong"))
    done(lambda: invoice_close(cast.acme, MARCH, MAY_1))
    second = Invoice.objects.exclude(pk=first.pk).get()
    done(lambda: invoice_write_off(actor=None, invoice=second, reason="Bankrupt"))
    done(lambda: pay(second, "0.50"))
    done(
        lambda: invoice_credit(
            actor=cast.oskar, invoice=second, amount=second.subtotal, reason="x", rest=Rest.CREDIT
        )
    )
    assert balances(cast.acme) == {"prepaid": Decimal("0.40")}
    assert balances(None)["vat_payable"] == Decimal("0.10")
    done(lambda: pay(second, "0.40", "in_2"))
    done(lambda: refund_book(organization=cast.acme, amount=Decimal("0.40"), source_id="re_1"))
    done(
        lambda: promo_grant(
            actor=None, organization=cast.acme, amount=Decimal(1), expires_at=None, reason="Hi"
        )
    )


def test_what_is_booked_already_changes_nothing(invoice: Invoice, cast: Cast) -> None:
    acts: list[Callable[[], Booked]] = [
        lambda: pay(invoice, "2"),
        lambda: refund_book(organization=cast.acme, amount=Decimal("0.5"), source_id="1"),
        lambda: fee_book(currency="EUR", amount=Decimal(1), source_id="1"),
        lambda: payout_book(currency="EUR", amount=Decimal(1), source_id="1"),
    ]
    for act in acts:
        assert act().is_new
        before = balances(cast.acme), balances(None)
        assert act() == Booked(0, is_new=False)
        assert (balances(cast.acme), balances(None)) == before


def test_only_an_open_invoice_of_the_organization_is_paid(invoice: Invoice, cast: Cast) -> None:
    with pytest.raises(ValidationError, match="cannot be paid"):
        payment_book(organization=cast.rival, invoice=invoice, amount=Decimal(1), source_id="in_1")
    for amount in ("0", "-1", "NaN"):
        with pytest.raises(ValidationError, match="above 0"):
            pay(invoice, amount)
    Invoice.objects.filter(pk=invoice.pk).update(state=InvoiceState.VOID)
    with pytest.raises(ValidationError, match="cannot be paid"):
        pay(invoice, "1")
    draft = Invoice.objects.create(
        organization=cast.acme, period_start=APRIL_1.date(), period_end=MAY_1.date()
    )
    with pytest.raises(ValidationError, match="cannot be paid"):
        pay(draft, "1")


@pytest.mark.parametrize("state", [InvoiceState.PAST_DUE, InvoiceState.UNCOLLECTIBLE])
def test_an_invoice_that_is_late_or_given_up_can_still_be_paid(
    invoice: Invoice, state: InvoiceState
) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(state=state)
    pay(invoice, "1.05", "in_1")
    invoice.refresh_from_db()
    assert (invoice.state, invoice.to_pay) == (state, Decimal("0.01"))
    pay(invoice, "0.01", "in_2")
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID


def test_all_that_is_neither_used_nor_set_apart_goes_back_and_no_cent_more(cast: Cast) -> None:
    bought = payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("6.25"), reference="1"
    ).invoice
    assert bought
    pending_make(
        source=Source("lease", "1", "lease"), debit=AccountKey(cast.acme.pk, AccountKind.PREPAID),
        credit=AccountKey(None, AccountKind.CLEARING), amount=Decimal(2), timeout_at=NOON,
    )  # fmt: skip
    with pytest.raises(ValidationError, match=r"less than €3\.01 left"):
        credit_note_issue(actor=None, invoice=bought, reason="x", amount=Decimal("3.01"))
    credit_note_issue(actor=None, invoice=bought, reason="x", amount=Decimal(3))
    assert balances(cast.acme) == {"prepaid": Decimal(2), "owed": Decimal("3.75")}
    assert balances(None)["vat_payable"] == Decimal("0.5")
    for amount, why in (("3.76", r"less than €3\.76 left"), ("0", "above 0")):
        with pytest.raises(ValidationError, match=why):
            refund_book(organization=cast.acme, amount=Decimal(amount), source_id="re_1")
    refund_book(organization=cast.acme, amount=Decimal("3.75"), source_id="re_1")
    assert balances(cast.acme) == {"prepaid": Decimal(2)}
