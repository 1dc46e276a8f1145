"""Months that end: each organization's is closed once, and what it used is put on an invoice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils.translation import gettext as _

from billing.invoices.finalising import invoice_finalise
from billing.invoices.freezing import invoice_draft, invoice_freeze, invoice_shut
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
WHERE (books.closed_until IS NULL OR books.closed_until < %(until)s)
    AND (%(of)s::uuid IS NULL OR books.organization_id = %(of)s)
UNION
SELECT organization_id, period_start FROM billing_invoice taken_back
WHERE state = 'void' AND kind = 'usage' AND period_start < %(until)s
    AND (%(of)s::uuid IS NULL OR organization_id = %(of)s) AND NOT EXISTS (
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
    Raises what PostgreSQL's absence raises: the next run goes on.
    """
    until = now.astimezone(UTC).date().replace(day=1)
    for organization_id, month in _open_months(until):
        _begin(organization_id, month)
    waiting = _unfinished()
    ends = {one.period_end for one in waiting if _may_grow(one)}
    kept_open = {end for end in ends if not _is_over(midnight(end), now)}
    ready = [one for one in waiting if not _may_grow(one) or one.period_end not in kept_open]
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
    for owner, earlier in _open_months(start, organization):
        _advanced(_begin(owner, earlier, actor), now)
    return _advanced(_begin(organization.pk, start, actor), now)


def months_open(organization: Organization, now: datetime) -> list[date]:
    """Those with usage that is on no invoice, that at hand included; the oldest first."""
    return [month for _owner, month in _open_months(_next_month(now), organization)]


@transaction.atomic
def month_close(
    *, actor: User, organization: Organization, month: date, reason: str, now: datetime
) -> Invoice:
    """Let nothing more enter a month and those before it, whether it has ended or not.

    Its invoice is made by the next `periods_close`; what is used of the month later is on the next
    one. For a customer who leaves, and for one whose gateway is lost. Raises ValidationError where
    there is nothing to invoice.
    """
    if not reason.strip():
        raise ValidationError({"reason": _("Say why: it is kept in the audit trail.")})
    books_lock([organization.pk])
    months = months_open(organization, now)
    if month not in months:
        raise ValidationError(
            {"month": _("Nothing of this month is left to invoice: there is nothing to do.")}
        )
    for one in months[: months.index(month) + 1]:
        invoice = _begin(organization.pk, one, actor, reason=reason)
        invoice_shut(invoice)
    return invoice


@transaction.atomic
def _begin(organization_id: UUID, month: date, actor: User | None = None, **why: str) -> Invoice:
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
        **why,
    )
    return made


def _may_grow(invoice: Invoice) -> bool:
    """Whether usage can still enter the period of one that is not frozen."""
    until = invoice.organization.books.closed_until
    is_shut = until is not None and until >= invoice.period_end
    return invoice.state == InvoiceState.CLOSING and not is_shut


def _is_over(ended: datetime, now: datetime) -> bool:
    """Whether a month that ended then can be closed."""
    if usage_is_complete(ended):
        return True
    if is_late := now >= ended + PATIENCE:
        log.error("invoice.closed_incomplete", ended=ended.isoformat())
    return is_late


def _tried(invoice: Invoice, now: datetime) -> Invoice | None:
    """As far as it gets; what one organization lacks stops no other, but without PostgreSQL none
    gets any further.
    """
    try:
        return _advanced(invoice, now)
    except (
        DatabaseError, InterfaceError, ValidationError, ArithmeticError, LookupError,
    ) as error:  # fmt: skip
        log.exception("invoice.failed", invoice=str(invoice.pk), error=type(error).__name__)
        if isinstance(error, OperationalError | InterfaceError) and not connection.is_usable():
            raise
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
    return list(found.select_related("organization__books").order_by("period_start", "pk"))


def _next_month(now: datetime) -> date:
    return Month(Month.of(now.astimezone(UTC)) + 1).start


def _open_months(until: date, of: Organization | None = None) -> list[tuple[UUID, date]]:
    """Before `until`, of all organizations or one, with whose they are; the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, {"until": until, "of": of.pk if of else None})
        return list(cursor.fetchall())
