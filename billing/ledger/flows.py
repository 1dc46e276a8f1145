"""Invoices, payments, credit notes and refunds in the books, each booked once."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger.accounts import AccountKey, accounts_open
from billing.ledger.books import books_advance, books_announce
from billing.ledger.journals import Booked, Leg, is_booked, journal_write
from billing.ledger.transfers import Source
from billing.models import (
    AccountKind,
    Balance,
    CreditNote,
    Invoice,
    InvoiceKind,
    InvoiceState,
    LineKind,
)
from billing.written import money_written
from tenants.models import Organization

CREDITED: Final = "credited"
"""The part of revenue that credit notes take back."""
_ZERO: Final = Decimal(0)
_CENT: Final = Decimal("0.01")
_OPEN: Final = frozenset({
    InvoiceState.FINALISED, InvoiceState.PAST_DUE, InvoiceState.UNCOLLECTIBLE,
})  # fmt: skip

type Journal = tuple[str, list[Leg], list[Leg]]
"""A code, what is debited and what is credited."""


class InvoiceSums(NamedTuple):
    """The exact sums of an invoice's lines: what was used on credit, and how discounts are given.

    `on_credit` is without the discount; `returned` is the part of it that becomes prepaid credit.
    """

    on_credit: Decimal
    discount: Decimal
    returned: Decimal


@transaction.atomic
def invoice_book(invoice: Invoice) -> None:
    """What is unbilled becomes receivable, with VAT. Raises BooksError when it is not that much."""
    books_advance([invoice.organization_id])
    _journals_write(invoice, _invoice_journals(invoice))
    books_announce([invoice.organization_id])


@transaction.atomic
def invoice_unbook(invoice: Invoice) -> None:
    """Take a booked invoice back to where its usage was unbilled."""
    books_advance([invoice.organization_id])
    journals = [
        (f"void {code}", credited, debited)
        for code, debited, credited in _invoice_journals(invoice)
    ]
    _journals_write(invoice, journals)
    books_announce([invoice.organization_id])


@transaction.atomic
def write_off_book(invoice: Invoice) -> None:
    """What is open of it is lost: a bad debt, of which no VAT is due."""
    books_advance([invoice.organization_id])
    lost, (receivable,) = _lost(invoice, invoice.to_pay), _theirs(invoice, AccountKind.RECEIVABLE)
    journal_write(_written_off(invoice), lost, [Leg(receivable, invoice.to_pay)])
    books_announce([invoice.organization_id])


@transaction.atomic
def payment_book(
    *,
    organization: Organization,
    invoice: Invoice,
    amount: Decimal,
    source_id: str,
    into: AccountKind = AccountKind.CLEARING,
) -> Booked:
    """A payment of `invoice` came `into` clearing or the bank; what is too much is to pay back.

    The invoice is paid when nothing is open any more. Raises ValidationError for an amount that is
    not one, and for an invoice that is not this organization's or has no number yet.
    """
    _check(amount)
    books_advance([organization.pk])
    found = Invoice.objects.select_for_update().filter(organization=organization, pk=invoice.pk)
    locked = found.exclude(number="").exclude(state=InvoiceState.VOID).first()
    if locked is None:
        raise ValidationError(_("This invoice cannot be paid: it is a draft, void or not yours."))
    part = min(amount, locked.to_pay)
    receivable, owed = _theirs(locked, AccountKind.RECEIVABLE, AccountKind.OWED)
    (came,) = _ours(locked.currency, into)
    source = Source("payment", source_id, "invoice")
    _recover(locked, part, source)
    booked = journal_write(
        source,
        [Leg(came, amount)],
        [Leg(receivable, part), Leg(owed, amount - part)],
    )
    if booked.is_new:
        invoice_lower(locked, paid=part)
        books_announce([organization.pk])
    return booked


@transaction.atomic
def credit_note_book(note: CreditNote) -> Booked:
    """Take back what was earned, or credit that was bought, with its VAT.

    It comes off what is open of the invoice, and the rest is to pay back. Raises ValidationError
    when the bought credit is used already.
    """
    invoice = note.invoice
    books_advance([note.organization_id])
    taken = AccountKey(None, AccountKind.REVENUE, CREDITED, invoice.currency)
    prepaid, receivable, owed = _theirs(
        invoice, AccountKind.PREPAID, AccountKind.RECEIVABLE, AccountKind.OWED
    )
    if invoice.kind == InvoiceKind.TOP_UP:
        taken = prepaid
        _require(prepaid, note.net)
    (vat,) = _ours(invoice.currency, AccountKind.VAT_PAYABLE)
    source = Source("credit_note", str(note.pk), "issue")
    _recover(invoice, note.from_open, source)
    booked = journal_write(
        source,
        [Leg(taken, note.net), Leg(vat, note.vat)],
        [Leg(receivable, note.from_open), Leg(owed, note.total - note.from_open)],
    )
    if booked.is_new:
        invoice_lower(invoice, credited=note.total)
        books_announce([note.organization_id])
    return booked


@transaction.atomic
def refund_book(
    *,
    organization: Organization,
    amount: Decimal,
    source_id: str,
    out_of: AccountKind = AccountKind.CLEARING,
) -> Booked:
    """Money went back to a customer: what credit notes and payments of too much left to pay back.

    What may be spent stays as it is. Raises ValidationError when there is less than that.
    """
    _check(amount)
    currency = books_advance([organization.pk])[organization.pk].currency
    owed = AccountKey(organization.pk, AccountKind.OWED, currency=currency)
    (went,) = _ours(currency, out_of)
    source = Source("refund", source_id, "refund")
    if is_booked(source):
        return Booked(0, is_new=False)
    _require(owed, amount)
    return journal_write(source, [Leg(owed, amount)], [Leg(went, amount)])


@transaction.atomic
def fee_book(*, currency: str, amount: Decimal, source_id: str) -> Booked:
    """What a payment has cost us."""
    _check(amount)
    fee, clearing = _ours(currency, AccountKind.FEE_EXPENSE, AccountKind.CLEARING)
    source = Source("fee", source_id, "fee")
    return journal_write(source, [Leg(fee, amount)], [Leg(clearing, amount)])


@transaction.atomic
def payout_book(*, currency: str, amount: Decimal, source_id: str) -> Booked:
    """What was cleared came to the bank."""
    _check(amount)
    bank, clearing = _ours(currency, AccountKind.BANK, AccountKind.CLEARING)
    source = Source("payout", source_id, "payout")
    return journal_write(source, [Leg(bank, amount)], [Leg(clearing, amount)])


def invoice_lower(invoice: Invoice, *, paid: Decimal = _ZERO, credited: Decimal = _ZERO) -> None:
    """Count what is open of it down, in the caller's transaction; at 0 it is paid."""
    rows = Invoice.objects.filter(pk=invoice.pk)
    rows.update(paid=F("paid") + paid, credited=F("credited") + credited)
    invoice.refresh_from_db(fields=["paid", "credited", "state"])
    if invoice.state in _OPEN and not invoice.to_pay:
        invoice.state, invoice.paid_at = InvoiceState.PAID, timezone.now()
        invoice.save(update_fields=["state", "paid_at"])


def invoice_sums(invoice: Invoice) -> InvoiceSums:
    """From its lines. What was used on credit is never below the discount that is taken off it."""
    lines = list(invoice.lines.all())
    discount = -sum((one.exact for one in lines if one.kind == LineKind.DISCOUNT), _ZERO)
    returned = sum(
        (one.exact for one in lines if one.kind == LineKind.PREPAID and one.exact > 0), _ZERO
    )
    net = sum((one.exact for one in lines), _ZERO)
    return InvoiceSums(net + discount - returned, discount, returned)


def _invoice_journals(invoice: Invoice) -> list[Journal]:
    sums = invoice_sums(invoice)
    receivable, unbilled, prepaid = _theirs(
        invoice, AccountKind.RECEIVABLE, AccountKind.UNBILLED, AccountKind.PREPAID
    )
    vat, rounding, discount = _ours(
        invoice.currency, AccountKind.VAT_PAYABLE, AccountKind.ROUNDING, AccountKind.DISCOUNT
    )
    off_credit = sums.discount - sums.returned
    net = sums.on_credit - off_credit
    up, down = max(invoice.subtotal - net, _ZERO), max(net - invoice.subtotal, _ZERO)
    return [
        ("usage", [Leg(receivable, net)], [Leg(unbilled, net)]),
        ("discount", [Leg(discount, sums.discount)],
         [Leg(unbilled, off_credit), Leg(prepaid, sums.returned)]),
        ("rounded up", [Leg(receivable, up)], [Leg(rounding, up)]),
        ("rounded down", [Leg(rounding, down)], [Leg(receivable, down)]),
        ("vat", [Leg(receivable, invoice.vat_amount)], [Leg(vat, invoice.vat_amount)]),
    ]  # fmt: skip


def _recover(invoice: Invoice, part: Decimal, source: Source) -> None:
    """Before `part` of it is settled, that is receivable again where it was written off."""
    if is_booked(source) or not is_booked(_written_off(invoice)):
        return
    (receivable,) = _theirs(invoice, AccountKind.RECEIVABLE)
    journal_write(source._replace(code="recovered"), [Leg(receivable, part)], _lost(invoice, part))


def _written_off(invoice: Invoice) -> Source:
    return Source("write_off", str(invoice.pk), "write_off")


def _lost(invoice: Invoice, part: Decimal) -> list[Leg]:
    """The next `part` of it to be settled, as bad debt and its VAT: all parts have all of it."""
    settled = invoice.paid + invoice.credited
    vat = _vat_of(invoice, settled + part) - _vat_of(invoice, settled)
    debt, due = _ours(invoice.currency, AccountKind.BAD_DEBT, AccountKind.VAT_PAYABLE)
    return [Leg(debt, part - vat), Leg(due, vat)]


def _vat_of(invoice: Invoice, part: Decimal) -> Decimal:
    return (invoice.vat_amount * part / invoice.total).quantize(_CENT, ROUND_HALF_UP)


def _journals_write(invoice: Invoice, journals: Iterable[Journal]) -> None:
    for code, debited, credited in journals:
        journal_write(Source("invoice", str(invoice.pk), code), debited, credited)


def _require(purse: AccountKey, amount: Decimal) -> None:
    account = accounts_open([purse])[purse]
    kept = Balance.objects.get(account=account)
    if kept.credits_posted - kept.debits_posted - kept.debits_pending < amount:
        raise ValidationError(
            _("There is less than %(amount)s left to give back: some of it is used already."),
            params={"amount": money_written(amount, purse.currency)},
        )


def _check(amount: Decimal) -> None:
    if not (amount.is_finite() and amount > 0):
        raise ValidationError(_("Enter an amount above 0."))


def _theirs(invoice: Invoice, *kinds: AccountKind) -> list[AccountKey]:
    owner = invoice.organization_id
    return [AccountKey(owner, kind, currency=invoice.currency) for kind in kinds]


def _ours(currency: str, *kinds: AccountKind) -> list[AccountKey]:
    return [AccountKey(None, kind, currency=currency) for kind in kinds]
