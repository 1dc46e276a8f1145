"""VAT in kronor on invoices in euro, as Swedish law asks of a seller there.

The rate is one that an operator entered, of the day or of the last before it that has one.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.models import Currency, ExchangeRate, Invoice, VatTreatment
from tenants import audit
from tenants.models import User

LASTS: Final = timedelta(days=7)
"""Banks publish none on holidays: a rate holds until the next, but no longer than this."""
_LEAST: Final = Decimal(1)
_MOST: Final = Decimal(100)
_CENT: Final = Decimal("0.01")
_EXACT: Final = Decimal("0.000001")


class NoRate(LookupError):  # noqa: N818 - a state of things
    """The VAT cannot be told in SEK yet; the text says what to do."""


@transaction.atomic
def exchange_rate_set(*, actor: User | None, day: date, rate: Decimal, source: str) -> ExchangeRate:
    """What one euro was in SEK on `day`; another rate of that day goes. Invoices keep theirs."""
    is_sane = rate.is_finite() and _LEAST <= rate < _MOST
    if not is_sane or rate != rate.quantize(_EXACT):
        raise ValidationError({"rate": _("Enter the SEK for one EUR, as in 11.0535.")})
    if day > timezone.now().date():
        raise ValidationError({"day": _("This day has not come yet: enter a published rate.")})
    if not source.strip():
        raise ValidationError({"source": _("Say who published it, as in “Riksbank”.")})
    known = ExchangeRate.objects.select_for_update().filter(day=day).first()
    kept, _made = ExchangeRate.objects.update_or_create(
        day=day,
        defaults={
            "rate": rate, "source": source.strip(), "entered_by": actor,
            "entered_at": timezone.now(),
        },
    )  # fmt: skip
    audit.record(
        actor=actor,
        action="exchange_rate.set",
        target=kept,
        day=day.isoformat(),
        rate=str(rate),
        source=kept.source,
        before=str(known.rate) if known else "",
    )
    return kept


def exchange_rate_on(day: date) -> ExchangeRate | None:
    """Of `day`, or the last of the week before it."""
    return ExchangeRate.objects.filter(day__lte=day, day__gte=day - LASTS).first()


def vat_in_sek(invoice: Invoice, on: date) -> None:
    """Put the VAT in SEK on `invoice`, unsaved, where it needs that. Raises NoRate."""
    invoice.vat_sek = invoice.sek_rate = invoice.sek_rate_day = None
    invoice.sek_rate_source = ""
    if not _needs_sek(invoice):
        return
    found = exchange_rate_on(on)
    if found is None:
        raise NoRate(
            _("Its VAT must stand on it in SEK too, and no exchange rate is entered for %(day)s or "
              "the %(days)s days before: enter it under VAT, then let the invoice go on.")
            % {"day": on.isoformat(), "days": LASTS.days}
        )  # fmt: skip
    invoice.sek_rate, invoice.sek_rate_day = found.rate, found.day
    invoice.sek_rate_source = found.source
    invoice.vat_sek = (invoice.vat_amount * found.rate).quantize(_CENT, ROUND_HALF_UP)


def _needs_sek(invoice: Invoice) -> bool:
    """Swedish VAT in euro, of a seller who is registered for it."""
    is_swedish = settings.SELLER_COUNTRY == "SE" and bool(settings.SELLER_VAT_ID)
    is_charged = invoice.vat_treatment == VatTreatment.DOMESTIC and invoice.vat_amount > 0
    return is_swedish and is_charged and invoice.currency == Currency.EUR
