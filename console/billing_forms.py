"""The forms of the customer's billing pages."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Self, cast

from django import forms
from django.utils.translation import gettext_lazy as _

from billing.models import AutoTopUp, BillingProfile
from console.costs import CostSpan, today
from console.currencies import shown_currency
from console.forms import GROUPS, Days, Group, OwnDaysForm

SPANS: Final = (
    ("month", _("This month")),
    ("last", _("Last month")),
    ("90", _("90 d")),
)


class CostForm(OwnDaysForm):
    """The address of the cost explorer: `span`, or `from` and `to`; and `group`."""

    span = forms.ChoiceField(choices=SPANS, required=False)
    group = forms.ChoiceField(label=_("Group"), choices=GROUPS, required=False)

    @property
    def grouped_by(self) -> Group:
        return cast("Group", self.cleaned_data.get("group") or GROUPS[0][0])

    @property
    def preset(self) -> str | None:
        """Which of `SPANS` is shown; None for days that were typed."""
        if self.own_days:
            return None
        return str((not self.errors and self.cleaned_data.get("span")) or SPANS[0][0])

    @property
    def asked(self) -> CostSpan:
        """The days asked for; this month when the question was not valid."""
        if days := self.own_days:
            return CostSpan.of_days(days)
        if self.preset == "90":
            return CostSpan.of_days(Days.until_today(90))
        this_month = today().replace(day=1)
        return CostSpan.of_month(
            this_month if self.preset == "month" else this_month - timedelta(days=1)
        )


AMOUNTS: Final = {"EUR": (20, 50, 100, 500), "SEK": (200, 500, 1000, 5000)}
"""Of top-ups: what is offered beside an amount of one's own."""
PROFILE: Final = (
    "legal_name", "is_business", "address", "address_more", "postcode", "city", "country", "vat_id",
    "email", "reference",
)  # fmt: skip


def _amount(label: Any, **options: Any) -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"})
    return forms.DecimalField(label=label, decimal_places=2, widget=widget, **options)


class TopUpForm(forms.Form):
    """How much credit is bought, without VAT."""

    amount = _amount("", min_value=Decimal("0.01"), max_value=Decimal(1_000_000))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].label = _("Credit to buy, %s") % shown_currency()

    @property
    def offered(self) -> list[Decimal]:
        return [Decimal(one) for one in AMOUNTS[shown_currency()]]


class AutoTopUpForm(forms.Form):
    """Credit that is bought by itself, with the saved payment method."""

    is_on = forms.BooleanField(label=_("Top up automatically"), required=False)
    threshold = _amount(
        _("When the balance falls below"), min_value=Decimal(0), initial=Decimal(20)
    )
    amount = _amount(
        _("Buy credit of"),
        min_value=Decimal("0.01"),
        initial=Decimal(100),
        help_text=_("VAT comes on top."),
    )
    monthly_cap = _amount(
        _("In a calendar month at most"),
        min_value=Decimal("0.01"),
        initial=Decimal(500),
        help_text=_("Past it nothing more is bought until the next month."),
    )

    @classmethod
    def of(cls, found: AutoTopUp | None, data: Any = None) -> Self:
        initial = {name: getattr(found, name) for name in cls.base_fields} if found else {}
        return cls(data, initial=initial)


class ProfileForm(forms.Form):
    """Whom invoices go to. What only the service can check becomes an error of the form."""

    legal_name = forms.CharField(label=_("Legal name"), max_length=200)
    is_business = forms.BooleanField(label=_("A business"), required=False, initial=True)
    address = forms.CharField(label=_("Address"), max_length=200)
    address_more = forms.CharField(label=_("Address, second line"), max_length=200, required=False)
    postcode = forms.CharField(label=_("Postcode"), max_length=20)
    city = forms.CharField(label=_("City"), max_length=100)
    country = forms.CharField(
        label=_("Country"),
        min_length=2,
        max_length=2,
        widget=forms.TextInput(attrs={"autocomplete": "country"}),
        help_text=_("Its two letters, as SE or DE."),
    )
    vat_id = forms.CharField(
        label=_("VAT id"),
        max_length=20,
        required=False,
        help_text=_("With the country before it, as SE556677889901. It decides which VAT holds."),
    )
    email = forms.EmailField(
        label=_("Mail for invoices"),
        required=False,
        help_text=_("Empty: owners and billing members."),
    )
    reference = forms.CharField(
        label=_("Your reference"),
        max_length=100,
        required=False,
        help_text=_("A purchase order or a cost centre. It stands on each invoice."),
    )

    @classmethod
    def of(cls, profile: BillingProfile | None, data: Any = None) -> Self:
        initial = {name: getattr(profile, name) for name in PROFILE} if profile else {}
        return cls(data, initial=initial)
