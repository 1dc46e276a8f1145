"""The forms of price books."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import PriceBook
from console.model_forms import START_FORMAT
from inference.models import Model
from tenants.models import Organization

RESERVED = frozenset({"add", "rates"})
"""Words in addresses, where slugs of books stand."""


def _moment_field(label: Any, help_text: Any) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=START_FORMAT)
    return forms.DateTimeField(label=label, required=False, widget=widget, help_text=help_text)


class BookForm(forms.Form):
    """A new book."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    slug = forms.SlugField(
        label=gettext_lazy("Short name"),
        max_length=50,
        help_text=gettext_lazy("In addresses: partners-2027"),
    )
    parent = forms.ModelChoiceField(
        label=gettext_lazy("Parent"),
        queryset=PriceBook.objects.filter(organization=None),
        empty_label=None,
        help_text=gettext_lazy("Its currency, and all that the book has no rate for."),
    )
    organization = forms.CharField(
        label=gettext_lazy("For one organization"),
        max_length=50,
        required=False,
        help_text=gettext_lazy("Its short name. Empty: for plans, and any number of them."),
    )

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"].lower()
        if slug in RESERVED or PriceBook.objects.filter(slug=slug).exists():
            raise ValidationError(_("A book with this short name exists already: choose another."))
        return slug

    def clean_organization(self) -> Organization | None:
        slug: str = self.cleaned_data["organization"].strip().lower()
        found = Organization.objects.filter(slug=slug).first()
        if slug and found is None:
            raise ValidationError(
                _("No organization has this short name: it stands in the address of its pages.")
            )
        return found


class BookEditForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    is_public = forms.BooleanField(
        label=gettext_lazy("Shown to everybody"),
        required=False,
        help_text=gettext_lazy("Of a list: on the page of prices."),
    )

    @classmethod
    def of(cls, book: PriceBook, data: Any = None) -> Self:
        return cls(data, initial={"name": book.name, "is_public": book.is_public})


class TiersForm(forms.Form):
    """Discounts, one a line."""

    tiers = forms.CharField(
        label=gettext_lazy("From an amount on, and percent"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5, "placeholder": "1000: 5"}),
        help_text=gettext_lazy(
            "“1000: 5” lets off 5 % of what a month costs above 1000, up to the next line."
        ),
    )

    @classmethod
    def of(cls, book: PriceBook, data: Any = None) -> Self:
        lines = [f"{tier.from_amount:f}: {tier.percent:f}" for tier in book.tiers.all()]
        return cls(data, initial={"tiers": "\n".join(lines)})

    def clean_tiers(self) -> list[tuple[Decimal, Decimal]]:
        lines = self.cleaned_data["tiers"].splitlines()
        return [_tier(line) for line in lines if line.strip()]


def _tier(line: str) -> tuple[Decimal, Decimal]:
    start, _colon, off = line.partition(":")
    try:
        return Decimal(start.strip()), Decimal(off.strip().removesuffix("%").strip())
    except InvalidOperation as error:
        words = {"line": line.strip()}
        raise ValidationError(_("Write “%(line)s” as amount: percent.") % words) from error


class BookRateForm(forms.Form):
    """A price of one component of a model in a book."""

    component = forms.ChoiceField(label=gettext_lazy("Component"))
    price = forms.DecimalField(
        label=gettext_lazy("Price"),
        min_value=Decimal(0),
        max_digits=20,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=gettext_lazy("In the currency of the book, per million tokens or minute."),
    )
    valid_from = _moment_field(
        gettext_lazy("Valid from, UTC"),
        gettext_lazy("Empty: from now on. A rate that has begun is never changed."),
    )
    valid_until = _moment_field(
        gettext_lazy("Until, UTC"), gettext_lazy("Empty: until the next that is set.")
    )

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data)
        choices = [(component.value, component.label) for component in model.components]
        self.fields["component"].choices = choices  # type: ignore[attr-defined]

    def clean_valid_from(self) -> datetime | None:
        start: datetime | None = self.cleaned_data["valid_from"]
        return start and start.astimezone(UTC)

    def clean_valid_until(self) -> datetime | None:
        end: datetime | None = self.cleaned_data["valid_until"]
        return end and end.astimezone(UTC)
