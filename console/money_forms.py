"""The forms of the operator's pages of money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, Self

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.invoices import creditable
from billing.models import ExchangeRate, Invoice, Payment
from billing.payments import Rest, Way, ways_of
from billing.payments.manual import LONGEST
from inference.costs import today
from inference.models import Backend

CENT: Final = Decimal("0.01")


def day_field(label: Any, **options: Any) -> forms.DateField:
    day = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, widget=day, **options)


def decimal_field(label: Any, *, places: int = 2, **options: Any) -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"})
    return forms.DecimalField(label=label, decimal_places=places, widget=widget, **options)


class BackendCostForm(forms.Form):
    """What an hour of a backend costs, whether it works or not."""

    per_hour = decimal_field(
        _("EUR per hour"),
        places=4,
        min_value=Decimal(0),
        max_value=Decimal(99_999),
        help_text=_("All of it: machine, power, place. 0 from the day it was given back."),
    )
    since = day_field(
        _("From, UTC"), help_text=_("The first day, and until the next that you enter.")
    )

    @classmethod
    def of(cls, backend: Backend, data: Any = None) -> Self:
        last = backend.costs.first()
        return cls(data, initial={"per_hour": last and last.per_hour, "since": today()})


class ExchangeRateForm(forms.Form):
    """What a euro was in kronor on a day, as it was published."""

    day = day_field(_("Day"), help_text=_("That the rate was published for."))
    rate = decimal_field(
        _("SEK for one EUR"), places=6, min_value=Decimal(0), help_text=_("As in 11.0535.")
    )
    source = forms.CharField(
        label=_("Source"), max_length=100, help_text=_("Who published it. It stands on invoices.")
    )

    @classmethod
    def of(cls, last: ExchangeRate | None, data: Any = None) -> Self:
        source = last.source if last else "Riksbank"
        return cls(data, initial={"day": today(), "source": source})


class InvoicePaymentForm(forms.Form):
    """What came in for an invoice, as the bank's account has it."""

    amount = decimal_field(_("Amount"), min_value=CENT, help_text=_("VAT included."))
    reference = forms.CharField(
        label=_("Reference"),
        max_length=LONGEST,
        help_text=_("Of the bank. One reference is entered once."),
    )

    @classmethod
    def of(cls, invoice: Invoice, data: Any = None) -> Self:
        return cls(data, initial={"amount": invoice.to_pay})


class CreditNoteForm(forms.Form):
    """What is taken back of an invoice, without VAT: that goes back in proportion."""

    amount = decimal_field(_("Amount, excl. VAT"), min_value=CENT)
    reason = forms.CharField(
        label=_("Reason"), max_length=300, help_text=_("It stands on the credit note.")
    )

    @classmethod
    def of(cls, invoice: Invoice, data: Any = None) -> Self:
        return cls(data, initial={"amount": creditable(invoice)})


class UsageCreditForm(CreditNoteForm):
    """Of an invoice of usage, of which something was paid: that may stay as credit."""

    rest = forms.TypedChoiceField(
        label=_("What was paid"), coerce=Rest, choices=Rest, initial=Rest.BACK,
        widget=forms.RadioSelect,
    )  # fmt: skip


class RefundForm(CreditNoteForm):
    """What goes back of a payment, without VAT."""

    @classmethod
    def of_payment(cls, payment: Payment, data: Any = None) -> Self:
        left = payment.net if payment.invoice is None else creditable(payment.invoice)
        return cls(data, initial={"amount": min(left, payment.net)})


class ExcessForm(forms.Form):
    """How what was paid too much is given back."""

    way = forms.TypedChoiceField(label=_("How"), coerce=Way, widget=forms.RadioSelect)
    reference = forms.CharField(
        label=_("Reference"),
        max_length=LONGEST,
        required=False,
        help_text=_("Of the transfer, if it was one."),
    )

    @classmethod
    def of(cls, payment: Payment, data: Any = None) -> Self:
        ways = ways_of(payment)
        form = cls(data, initial={"way": ways[0]})
        choices = [(way.value, way.label) for way in ways]
        form.fields["way"].choices = choices  # type: ignore[attr-defined]
        return form
