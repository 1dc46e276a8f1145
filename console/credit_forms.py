"""The forms of the operator's pages about an organization's plan, terms and credit."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, Self

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from billing.invoices import months_open
from billing.ledger.credit import MOST
from billing.models import Currency, Mode, Plan, PriceBook, Terms
from billing.payments.manual import LONGEST
from tenants.models import Organization, new_id

CENT: Final = Decimal("0.01")


def _money_field(label: Any, *, least: Decimal = CENT, **options: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        min_value=least,
        max_value=MOST,
        decimal_places=2,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        **options,
    )


def _reference() -> str:
    return new_id().hex


class EvidenceForm(forms.Form):
    """What was answered about a VAT id, where VIES cannot be asked by ourselves."""

    answer = forms.ChoiceField(
        label=_("Answer"),
        choices=(("valid", _("The VAT id is valid")), ("wrong", _("It is not valid"))),
    )
    source = forms.CharField(
        label=_("Who answered"), max_length=100, help_text=_("As in “VIES, web page”.")
    )
    reference = forms.CharField(
        label=_("Number of the consultation"),
        max_length=100,
        required=False,
        help_text=_("It proves that it was asked."),
    )
    name = forms.CharField(label=_("Name that was answered"), max_length=200, required=False)
    day = forms.DateField(
        label=_("Asked on, UTC"),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def clean_day(self) -> date:
        day: date = self.cleaned_data["day"]
        if day > timezone.now().date():
            raise ValidationError(_("This day has not come yet."))
        return day

    @property
    def facts(self) -> dict[str, Any]:
        """For `vat_evidence_set`."""
        typed = {name: self.cleaned_data[name] for name in ("source", "reference", "name")}
        return typed | {
            "is_valid": self.cleaned_data["answer"] == "valid",
            "checked_at": datetime.combine(self.cleaned_data["day"], time(), UTC),
        }


class TermsForm(forms.Form):
    """On which plan an organization is, and how it pays."""

    plan = forms.ModelChoiceField(
        label=_("Plan"),
        queryset=Plan.objects.all(),
        required=False,
        empty_label=_("None: no limits by default"),
    )
    mode = forms.ChoiceField(
        label=_("Payment"),
        choices=Mode.choices,
        help_text=_("Prepaid: requests stop when the credit is used up."),
    )
    credit_limit = _money_field(
        _("Credit limit"),
        least=Decimal(0),
        required=False,
        help_text=_("Of postpaid usage that is not paid yet. Empty: no limit."),
    )

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        terms = Terms.objects.for_organization(organization).first() or Terms()
        return cls(data, initial={name: getattr(terms, name) for name in cls.base_fields})


class PlanChangeForm(forms.Form):
    """The plan that an organization gets, and why."""

    plan = forms.ModelChoiceField(
        label=_("Plan"), queryset=Plan.objects.all(), empty_label=_("Choose one")
    )
    credit_limit = _money_field(
        _("Credit limit"),
        least=Decimal(0),
        required=False,
        help_text=_("Empty: the plan’s. Only where it is paid afterwards."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        terms = Terms.objects.for_organization(organization).first()
        return cls(data, initial={"plan": terms and terms.plan})


class BookForm(forms.Form):
    """A book of its own, or one for several, in its currency."""

    book = forms.ModelChoiceField(
        label=_("Price book"),
        queryset=PriceBook.objects.none(),
        required=False,
        empty_label=_("None: its plan’s, else the list"),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        terms = Terms.objects.for_organization(organization).first() or Terms()
        form = cls(data, initial={"book": terms.book})
        books = PriceBook.objects.filter(currency=terms.currency, parent__isnull=False)
        whose = Q(organization=None) | Q(organization=organization)
        form.fields["book"].queryset = books.filter(whose)  # type: ignore[attr-defined]
        return form


class CurrencyForm(forms.Form):
    currency = forms.ChoiceField(label=_("Currency"), choices=Currency.choices)

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        terms = Terms.objects.for_organization(organization).first() or Terms()
        return cls(data, initial={"currency": terms.currency})


class PaymentForm(forms.Form):
    """Money that came in for usage to come."""

    amount = _money_field(
        _("Amount"), help_text=_("VAT included, in the currency of the organization.")
    )
    reference = forms.CharField(
        label=_("Reference"),
        max_length=LONGEST,
        help_text=_("Of the bank. One reference is entered once."),
    )


class MonthForm(forms.Form):
    """A month to close by hand, as its first day, and why."""

    month = forms.TypedChoiceField(
        label=_("Month"),
        coerce=date.fromisoformat,
        help_text=_("What is used of it later is on the next invoice."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        form = cls(data)
        months = months_open(organization, timezone.now())
        choices = [(month.isoformat(), date_format(month, "F Y")) for month in months]
        form.fields["month"].choices = choices  # type: ignore[attr-defined]
        return form

    @property
    def has_months(self) -> bool:
        return bool(self.fields["month"].choices)  # type: ignore[attr-defined]


class GrantForm(forms.Form):
    """Credit that costs nothing. `reference` is of this form: sent twice, it is granted once."""

    amount = _money_field(_("Amount"), help_text=_("In the currency of the organization."))
    last_day = forms.DateField(
        label=_("Last day, UTC"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("What is left is gone after it. Empty: it does not expire."),
    )
    reason = forms.CharField(label=_("Reason"), max_length=200)
    reference = forms.CharField(max_length=32, widget=forms.HiddenInput, initial=_reference)

    def clean_last_day(self) -> Any:
        day = self.cleaned_data["last_day"]
        if day and day < timezone.now().date():
            raise ValidationError(_("This day is over. Choose today or a later one."))
        return day

    @property
    def expires_at(self) -> datetime | None:
        day = self.cleaned_data["last_day"]
        return day and datetime.combine(day + timedelta(days=1), time(), UTC)
