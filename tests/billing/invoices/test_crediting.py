"""After an invoice is final: payments, credit notes, refunds, and that nothing else changes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.invoices import (
    credit_note_issue,
    credit_note_pdf,
    invoice_finalise,
    invoice_pdf,
    invoice_void,
    invoice_write_off,
    invoices_age,
    periods_close,
    top_up_invoice,
)
from billing.ledger import (
    books_check,
    fee_book,
    invoices_check,
    payment_book,
    payout_book,
    prepaid_top_up,
    refund_book,
    top_up_book,
)
from billing.models import (
    AccountKind,
    CreditNoteState,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceState,
    NumberSeries,
    Payment,
    PaymentKind,
)
from billing.payments import Rest, invoice_credit, payment_enter
from tenants.models import AuditEntry
from tests.billing.invoices.conftest import APRIL_1, MAY_1, Use
from tests.billing.ledger.reading import balances, is_balanced, undone
from tests.billing.ledger.reading import use as use_credit
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
CENT = Decimal("0.01")
TOTAL = Decimal("1.06")
"""0.85 and VAT of 25 %."""


@pytest.fixture
def invoice(cast: Cast, use: Use) -> Invoice:
    use({"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 233_333})
    [made] = periods_close(APRIL_1)
    assert made.total == TOTAL
    return made


def pay(invoice: Invoice, amount: Decimal, source_id: str = "in_1") -> None:
    payment_book(
        organization=invoice.organization, invoice=invoice, amount=amount, source_id=source_id
    )
    invoice.refresh_from_db()


def test_an_invoice_is_paid_when_nothing_is_open_and_once_for_each_payment(
    invoice: Invoice, cast: Cast
) -> None:
    pay(invoice, Decimal("0.06"))
    pay(invoice, Decimal("0.06"))
    assert (invoice.paid, invoice.state) == (Decimal("0.06"), InvoiceState.FINALISED)
    pay(invoice, Decimal(2), "in_2")
    assert (invoice.paid, invoice.state) == (TOTAL, InvoiceState.PAID)
    assert invoice.paid_at
    assert balances(cast.acme) == {"owed": Decimal(1)}
    assert invoices_check() == []


def test_the_nightly_check_finds_an_invoice_that_is_not_what_is_booked(
    invoice: Invoice, cast: Cast
) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(paid=CENT)
    [found] = invoices_check()
    assert (found.name, found.kept, found.added_up) == ("receivable", TOTAL, TOTAL - CENT)
    Invoice.objects.filter(pk=invoice.pk).update(paid=0, state=InvoiceState.VOID)
    assert {(one.name, one.kept, one.added_up) for one in invoices_check()} == {
        ("receivable", TOTAL, Decimal(0)), ("invoice", TOTAL, Decimal(0)),
    }  # fmt: skip


def test_nothing_of_a_final_invoice_changes(invoice: Invoice) -> None:
    for field, value in {
        "subtotal": Decimal(1), "buyer": {"a": 1}, "period_start": APRIL_1.date(),
        "root": "other", "number": "other",
    }.items():  # fmt: skip
        with pytest.raises(IntegrityError, match="R2026-00001 is final"), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(**{field: value})
    with pytest.raises(IntegrityError, match="lines of invoice R2026-00001"), transaction.atomic():
        InvoiceLine.objects.filter(invoice=invoice).update(amount=1)
    with connection.cursor() as cursor, pytest.raises(IntegrityError), transaction.atomic():
        cursor.execute("DELETE FROM billing_invoice")
    assert invoice_finalise(actor=None, invoice=invoice).number == "R2026-00001"


def test_a_credit_note_comes_off_what_is_open_and_the_rest_is_owed(
    invoice: Invoice, cast: Cast
) -> None:
    pay(invoice, Decimal("0.50"))
    note = credit_note_issue(actor=cast.oskar, invoice=invoice, reason="Slow answers")
    assert (note.number, note.net, note.vat, note.total) == (
        "C2026-00001", Decimal("0.85"), Decimal("0.21"), TOTAL,
    )  # fmt: skip
    assert (note.from_open, note.state) == (Decimal("0.56"), CreditNoteState.OWED)
    assert balances(cast.acme) == {"owed": Decimal("0.50")}
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID
    refund_book(organization=cast.acme, amount=Decimal("0.50"), source_id="re_1")
    assert balances(cast.acme) == {}
    assert {"clearing", "vat_payable"}.isdisjoint(balances(None))
    assert AuditEntry.objects.get(action="credit_note.issue").data["invoice"] == invoice.number


def test_what_was_paid_can_stay_as_credit_with_an_invoice_of_its_own(
    invoice: Invoice, cast: Cast
) -> None:
    payment = payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=TOTAL, reference="B-1", invoice=invoice
    )
    note = invoice_credit(
        actor=cast.oskar, invoice=invoice, amount=invoice.subtotal, reason="Sorry",
        rest=Rest.CREDIT,
    )  # fmt: skip
    assert note.state == CreditNoteState.PREPAID
    assert balances(cast.acme) == {"prepaid": Decimal("0.85")}
    assert balances(None)["vat_payable"] == Decimal("0.21")
    bought = Invoice.objects.get(kind=InvoiceKind.TOP_UP)
    assert (bought.total, bought.vat_amount) == (TOTAL, Decimal("0.21"))
    payment.refresh_from_db()
    assert payment.refundable == 0
    with pytest.raises(ValidationError, match="is of credit"):
        invoice_credit(
            actor=cast.oskar, invoice=bought, amount=CENT, reason="Sorry", rest=Rest.CREDIT
        )
    assert books_check() == invoices_check() == []


def test_more_than_was_invoiced_is_not_credited(invoice: Invoice, cast: Cast) -> None:
    for amount in map(Decimal, ["0", "-1", "0.86", "0.001", "NaN"]):
        with pytest.raises(ValidationError, match=r"at most €0\.85"):
            credit_note_issue(actor=cast.oskar, invoice=invoice, reason="x", amount=amount)
    line = invoice.lines.get(position=1)
    with pytest.raises(ValidationError, match="each line"):
        credit_note_issue(actor=None, invoice=invoice, reason="x", lines=[(line, line.amount + 1)])
    with pytest.raises(ValidationError, match="Say why"):
        credit_note_issue(actor=cast.oskar, invoice=invoice, reason=" ")
    assert not invoice.credit_notes.exists()


def test_what_nobody_pays_is_a_bad_debt_without_vat(invoice: Invoice, cast: Cast) -> None:
    pay(invoice, Decimal("0.30"))
    invoice_write_off(actor=cast.oskar, invoice=invoice, reason="Bankrupt")
    assert balances(cast.acme) == {}
    # Of 0.30 that was paid 0.06 was VAT, which stays due.
    assert balances(None)["bad_debt"] == -Decimal("0.61")
    assert balances(None)["vat_payable"] == Decimal("0.06")
    assert books_check() == invoices_check() == []
    invoice.refresh_from_db()
    for act in (invoice_void, invoice_write_off):
        with pytest.raises(ValidationError):
            act(actor=cast.oskar, invoice=invoice, reason="Again")


def test_what_is_paid_after_all_is_no_bad_debt(invoice: Invoice, cast: Cast) -> None:
    invoice_write_off(actor=cast.oskar, invoice=invoice, reason="Bankrupt")
    for _again in range(2):
        pay(invoice, Decimal("0.33"), "in_1")
    assert invoice.state == InvoiceState.UNCOLLECTIBLE
    assert balances(None)["bad_debt"] == -Decimal("0.59")
    assert invoices_check() == []
    note = credit_note_issue(
        actor=None, invoice=invoice, amount=Decimal("0.40"), reason="Half is forgiven"
    )
    assert note.from_open == note.total
    pay(invoice, Decimal(1), "in_2")
    assert invoice.state == InvoiceState.PAID
    assert "bad_debt" not in balances(None)
    assert balances(None)["vat_payable"] == invoice.vat_amount - note.vat
    assert balances(cast.acme) == {"owed": Decimal(1) - (TOTAL - Decimal("0.33") - note.total)}
    assert books_check() == invoices_check() == []


@settings(
    max_examples=6, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(st.integers(1, 85), max_size=3), st.integers(0, 106))
def test_credit_notes_in_any_parts_end_at_nothing_with_vat(
    invoice: Invoice, cast: Cast, parts: list[int], paid: int
) -> None:
    """I-16: never more than the invoice; and after the last of it nothing is left, nor of VAT."""
    with undone():
        if paid:
            pay(invoice, Decimal(paid).scaleb(-2))
        left = Decimal("0.85")
        for part in [Decimal(one).scaleb(-2) for one in parts]:
            if part > left:
                with pytest.raises(ValidationError):
                    credit_note_issue(actor=None, invoice=invoice, reason="x", amount=part)
            else:
                credit_note_issue(actor=None, invoice=invoice, reason="x", amount=part)
                left -= part
        if left:
            credit_note_issue(actor=None, invoice=invoice, reason="x")
        own = balances(cast.acme)
        assert own == ({"owed": Decimal(paid).scaleb(-2)} if paid else {})
        assert "vat_payable" not in balances(None)
        assert is_balanced()
        assert books_check() == invoices_check() == []


def test_a_void_invoice_leaves_its_usage_to_be_invoiced_again(invoice: Invoice, cast: Cast) -> None:
    invoice_void(actor=cast.oskar, invoice=invoice, reason="Wrong address")
    assert set(balances(cast.acme)) == {"unbilled"}
    [again] = periods_close(MAY_1)
    assert periods_close(MAY_1) == []
    assert (again.number, again.root, again.total) == ("R2026-00002", invoice.root, TOTAL)
    assert invoices_check() == books_check() == []
    pay(again, TOTAL)
    with pytest.raises(ValidationError, match="credit note instead"):
        invoice_void(actor=cast.oskar, invoice=again, reason="Again")


def test_numbers_have_no_gap_after_a_failure(invoice: Invoice) -> None:
    with undone():
        credit_note_issue(actor=None, invoice=invoice, reason="x", amount=CENT)
    note = credit_note_issue(actor=None, invoice=invoice, reason="x", amount=CENT)
    assert note.number == "C2026-00001"
    assert dict(NumberSeries.objects.values_list("series", "last")) == {"R": 1, "C": 1}


def test_an_invoice_is_past_due_from_its_day_on(invoice: Invoice) -> None:
    assert invoices_age(APRIL_1 + timedelta(days=30)) == 0
    assert invoices_age(APRIL_1 + timedelta(days=31)) == 1
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAST_DUE


def test_credit_that_is_bought_has_an_invoice_with_vat_and_goes_back_by_a_credit_note(
    cast: Cast,
) -> None:
    payment = Payment.objects.create(
        organization=cast.acme, kind=PaymentKind.TOP_UP, net=Decimal(20), vat=Decimal(5),
        total=Decimal(25), vat_rate=Decimal(25), vat_treatment="domestic",
    )  # fmt: skip
    top_up_book(
        actor=None, organization=cast.acme, net=payment.net, vat=payment.vat, source_id="pi_1"
    )
    bought = top_up_invoice(payment=payment, now=APRIL_1)
    assert top_up_invoice(payment=payment, now=MAY_1) == bought
    assert (bought.number, bought.state, bought.to_pay) == (
        "R2026-00001", InvoiceState.PAID, Decimal(0),
    )  # fmt: skip
    assert balances(cast.acme) == {"prepaid": Decimal(20)}
    note = credit_note_issue(actor=None, invoice=bought, reason="Unused", amount=Decimal(8))
    assert (note.total, note.state) == (Decimal(10), CreditNoteState.OWED)
    assert balances(cast.acme) == {"prepaid": Decimal(12), "owed": Decimal(10)}
    use_credit(cast.acme, output="4")
    with pytest.raises(ValidationError, match="used already"):
        credit_note_issue(actor=None, invoice=bought, reason="Unused")
    assert balances(cast.acme) == {"prepaid": Decimal(8), "owed": Decimal(10)}
    assert invoices_check() == books_check() == []


def test_fees_and_payouts_leave_clearing_empty(cast: Cast) -> None:
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(10), reference="1")
    for _twice in range(2):
        fee_book(currency="EUR", amount=Decimal(1), source_id="txn_1")
        payout_book(currency="EUR", amount=Decimal(9), source_id="po_1")
    ours = balances(None)
    assert ours == {"fee_expense": Decimal(-1), "bank": Decimal(-9)}
    assert AccountKind.BANK.is_debit


@pytest.mark.parametrize("amount", ["0", "-1", "NaN"])
@pytest.mark.parametrize("book", [fee_book, payout_book])
def test_a_fee_or_a_payout_of_nothing_or_less_is_refused(
    book: Callable[..., object], amount: str
) -> None:
    with pytest.raises(ValidationError, match="above 0"):
        book(currency="EUR", amount=Decimal(amount), source_id="txn_1")
    assert balances(None) == {}


def test_documents_are_made_once_and_say_their_number(invoice: Invoice, cast: Cast) -> None:
    note = credit_note_issue(actor=None, invoice=invoice, reason="Sorry", amount=CENT)
    first = invoice_pdf(invoice)
    assert first.startswith(b"%PDF")
    assert invoice_pdf(invoice) == first
    assert credit_note_pdf(note).startswith(b"%PDF")
