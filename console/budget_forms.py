"""The form of a budget."""

from __future__ import annotations

import re
from typing import Any, cast, override

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.budgets import THRESHOLDS
from billing.models import Budget, Period
from billing.price_books import currency_of
from console.limit_forms import ScopeField, scope_read
from tenants.models import Organization

_BETWEEN = re.compile(r"[\s,;%]+")
_FACTS = ("amount", "currency", "is_hard", "thresholds", "emails", "webhook_url")


class BudgetEditForm(forms.Form):
    """How much may be spent, and who is told."""

    amount = forms.DecimalField(
        label=_("Amount"),
        widget=forms.NumberInput(attrs={"step": "0.01", "min": "0.01", "inputmode": "decimal"}),
    )
    currency = forms.CharField(label=_("Currency"), max_length=3, required=False)
    is_hard = forms.BooleanField(
        label=_("Stop requests when it is used up"),
        required=False,
        initial=True,
        help_text=_("Else it only tells. Answers that run are always finished."),
    )
    thresholds = forms.CharField(
        label=_("Tell at, percent"), initial=", ".join(map(str, THRESHOLDS)), max_length=100
    )
    emails = forms.CharField(
        label=_("Mail to"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "form-control"}),
        help_text=_("Addresses. Empty: owners and billing members."),
    )
    webhook_url = forms.CharField(
        label=_("Webhook"),
        required=False,
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("Gets a signed POST at each threshold. Its secret is shown once."),
    )

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def clean_thresholds(self) -> list[int]:
        parts = _parts(self.cleaned_data["thresholds"])
        try:
            return [int(part) for part in parts]
        except ValueError as error:
            raise ValidationError(_("Whole percents, as 50, 80, 100.")) from error

    def clean_emails(self) -> list[str]:
        return _parts(self.cleaned_data["emails"])

    @classmethod
    def first(cls, budget: Budget) -> dict[str, Any]:
        """What it shows of `budget` before anything is typed."""
        values = {name: getattr(budget, name) for name in _FACTS}
        values["thresholds"] = ", ".join(map(str, budget.thresholds))
        return values | {"emails": "\n".join(budget.emails)}

    @property
    def facts(self) -> dict[str, Any]:
        """For `budget_set`."""
        return {name: self.cleaned_data[name] for name in _FACTS}


class BudgetForm(BudgetEditForm):
    """A new budget: for what, and for how long, too."""

    scope = ScopeField(label=_("For"), required=False)
    period = forms.ChoiceField(label=_("In each"), choices=Period.choices, initial=Period.MONTH)
    field_order = ("scope", "period")

    def __init__(self, organization: Organization, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.organization = organization
        self.fields["currency"].initial = currency_of(organization.pk)
        field = cast("ScopeField", self.fields["scope"])
        field.offer(organization, whole=_("The whole organization"))

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        scope = scope_read(self.organization, self.cleaned_data.get("scope", ""))
        same = Budget.objects.for_organization(self.organization).filter(
            project=scope.project, api_key=scope.api_key, period=self.cleaned_data.get("period")
        )
        if same.exists():
            self.add_error("scope", _("It has a budget of this period already: change that one."))
        return self.cleaned_data

    @property
    @override
    def facts(self) -> dict[str, Any]:
        scope = scope_read(self.organization, self.cleaned_data["scope"])
        period = Period(self.cleaned_data["period"])
        return super().facts | scope._asdict() | {"period": period}


def _parts(text: str) -> list[str]:
    return [part for part in _BETWEEN.split(text) if part]
