"""Months that end: each organization's is closed once, and what it used is put on an invoice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from billing.invoices.finalising import invoice_finalise
from billing.invoices.freezing import invoice_draft, invoice_freeze
from billing.invoices.requests import midnight
from billing.invoices.watermark import usage_is_complete
from billing.ledger import books_lock
from billing.models import Invoice, InvoiceKind, InvoiceState
from billing.partitions import Month
from tenants import audit
from tenants.models import Organization, User

PATIENCE: Final = timedelta(hours=24)
"""A month is closed so long after its end, whatever has not come yet: that is late then."""
_UNFINISHED: Final = (InvoiceState.OPEN, InvoiceState.CLOSING, InvoiceState.FROZEN)

# Usage of months that are not closed, what was late for a month that was, and what was taken back.
_OPEN: Final = """
SELECT books.organization_id, used.month
FROM billing_books books CROSS JOIN LATERAL (
    SELECT date_trunc('month', day)::date AS month FROM billing_usageday
    WHERE organization_id = books.organization_id AND amount > 0
        AND day >= COALESCE(books.closed_until, '-infinity') AND day < %(until)s
    UNION
    SELECT billed_in FROM billing_usageevent
    WHERE organization_id = books.organization_id AND amount > 0
        AND billed_in >= books.closed_until AND billed_in < %(until)s
) AS used
WHERE books.closed_until IS NULL OR books.closed_until < %(until)s
UNION
SELECT organization_id, period_start FROM billing_invoice taken_back
WHERE state = 'void' AND kind = 'usage' AND period_start < %(until)s AND NOT EXISTS (
    SELECT FROM billing_invoice other WHERE other.organization_id = taken_back.organization_id
        AND other.period_start = taken_back.period_start AND other.kind = 'usage'
        AND other.state <> 'void'
)
ORDER BY 2, 1
"""

log = structlog.get_logger()


def periods_close(now: datetime) -> list[Invoice]:
    """Close every month that has ended, and take its invoices as far as they get by themselves.

    Whoever does it again, or at the same time, changes nothing. Returns those that it finished.
    """
    until = now.astimezone(UTC).date().replace(day=1)
    for organization_id, month in _open_months(until):
        _begin(organization_id, month)
    waiting = _unfinished()
    closing = {one.period_end for one in waiting if one.state == InvoiceState.CLOSING}
    kept_open = {end for end in closing if not _is_over(midnight(end), now)}
    ready = [
        one
        for one in waiting
        if one.state != InvoiceState.CLOSING or one.period_end not in kept_open
    ]
    return [done for one in ready if (done := _tried(one, now)) and done.number]


def invoice_close(
    organization: Organization, month: date, now: datetime, *, actor: User | None = None
) -> Invoice:
    """Close one organization's month without waiting, and those before it: what comes is late.

    One that was closed is returned as it is. Raises ValidationError for a month that has not ended.
    """
    start = month.replace(day=1)
    if now < midnight(Month(Month.of(start) + 1).start):
        raise ValidationError(_("This month has not ended yet."))
    for owner, earlier in _open_months(start):
        if owner == organization.pk:
            _advanced(_begin(owner, earlier, actor), now)
    return _advanced(_begin(organization.pk, start, actor), now)


@transaction.atomic
def _begin(organization_id: UUID, month: date, actor: User | None = None) -> Invoice:
    """The invoice of a month, made by the first who asks."""
    books = books_lock([organization_id])[organization_id]
    wanted = Invoice.objects.filter(
        organization=organization_id, kind=InvoiceKind.USAGE, period_start=month
    ).exclude(state=InvoiceState.VOID)
    if found := wanted.first():
        return found
    made = Invoice.objects.create(
        organization_id=organization_id,
        kind=InvoiceKind.USAGE,
        state=InvoiceState.CLOSING,
        period_start=month,
        period_end=Month(Month.of(month) + 1).start,
        currency=books.currency,
    )
    audit.record(
        actor=actor,
        action="invoice.close",
        target=made,
        organization=made.organization,
        month=f"{month:%Y-%m}",
    )
    return made


def _is_over(ended: datetime, now: datetime) -> bool:
    """Whether a month that ended then can be closed."""
    if usage_is_complete(ended):
        return True
    if is_late := now >= ended + PATIENCE:
        log.error("invoice.closed_incomplete", ended=ended.isoformat())
    return is_late


def _tried(invoice: Invoice, now: datetime) -> Invoice | None:
    """As far as it gets; what one organization lacks stops no other."""
    try:
        return _advanced(invoice, now)
    except (DatabaseError, ValidationError, ArithmeticError, LookupError) as error:
        log.exception("invoice.failed", invoice=str(invoice.pk), error=type(error).__name__)
        return None


def _advanced(invoice: Invoice, now: datetime) -> Invoice:
    """Each step is a transaction, and is left out by whoever finds it done."""
    if invoice.state in {InvoiceState.OPEN, InvoiceState.CLOSING}:
        invoice = invoice_freeze(invoice, now)
    if invoice.state == InvoiceState.FROZEN:
        invoice = invoice_draft(invoice, now)
    if invoice.state == InvoiceState.DRAFT and (invoice.is_trifle or not settings.STRIPE_API_KEY):
        invoice = invoice_finalise(actor=None, invoice=invoice, now=now)
    return invoice


def _unfinished() -> list[Invoice]:
    waiting = [*_UNFINISHED, InvoiceState.DRAFT]
    found = Invoice.objects.filter(kind=InvoiceKind.USAGE, state__in=waiting)
    return list(found.select_related("organization").order_by("period_start", "pk"))


def _open_months(until: date) -> list[tuple[UUID, date]]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"until": until})
        return list(cursor.fetchall())
