"""The forms of the operator's pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self, cast, override
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.models import Currency
from console.currencies import DEFAULT, currency_of
from console.explorer import DIMENSIONS, TIMES, Dimension, Question
from console.forms import MEASURES, DaysForm, LogForm, Measure
from console.organization_forms import RESERVED, EmailField, NameField
from inference.control import BackendFacts
from inference.live import CheckSeen
from inference.models import Backend, Engine, Model, Region
from tenants.models import Organization, User

MOST_DAYS_BY_HOUR: Final = 7


class BackendForm(forms.Form):
    """A new backend, and the model it serves."""

    name = forms.SlugField(
        label=_("Name"), max_length=50, help_text=_("Letters, digits and hyphens: lulea-gpu-01")
    )
    base_url = forms.CharField(
        label=_("URL"), max_length=200, help_text=_("Without /v1: http://10.0.0.5:8000")
    )
    key = forms.CharField(
        label=_("Engine key"),
        required=False,
        max_length=500,
        widget=forms.PasswordInput(render_value=True, attrs={"autocomplete": "off"}),
        help_text=_("What the engine wants as bearer token, if it wants one. Stored encrypted."),
    )
    engine = forms.ChoiceField(label=_("Engine"), choices=Engine.choices, initial=Engine.VLLM)
    region = forms.ModelChoiceField(
        label=_("Region"), queryset=Region.objects.all(), empty_label=_("Choose one")
    )
    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=1,
        max_value=100,
        initial=1,
        help_text=_("Its share of the work beside other backends of the same model."),
    )
    model = forms.ModelChoiceField(
        label=_("Model"),
        queryset=Model.objects.all(),
        required=False,
        empty_label=_("None yet"),
        help_text=_("What customers ask for."),
    )
    engine_model = forms.CharField(
        label=_("Name on the engine"),
        required=False,
        max_length=200,
        help_text=_("Empty: the one that the engine serves."),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "add":
            raise ValidationError(_("Choose another name: this one is an address of the console."))
        if Backend.objects.filter(name=name).exists():
            raise ValidationError(_("A backend with this name exists already: choose another."))
        return name

    def clean_base_url(self) -> str:
        return clean_base_url(self.cleaned_data["base_url"])

    def match_engine(self, check: CheckSeen) -> None:
        """Compare what was typed with what the engine answered; a mismatch is a field's error."""
        if not check.ok:
            self.add_error("base_url", check.error)
        elif self.cleaned_data.get("model"):
            self._match_model(check.models)

    def _match_model(self, served: tuple[str, ...]) -> None:
        named = self.cleaned_data["engine_model"]
        if not named and len(served) == 1:
            self.cleaned_data["engine_model"] = served[0]
        elif named not in served:
            message = _("The engine serves: %(models)s.") if served else _("It serves no model.")
            self.add_error("engine_model", message % {"models": ", ".join(served)})


class BackendEditForm(forms.Form):
    """How much work a backend gets."""

    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=1,
        max_value=100,
        help_text=_("Its share of the work beside other backends of the same model."),
    )
    max_in_flight = forms.IntegerField(
        label=_("Most in flight"),
        min_value=1,
        max_value=100_000,
        help_text=_(
            "When this many requests run on it, more wait in the gateway. "
            "As --max-num-seqs of vLLM, or a bit more."
        ),
    )

    @classmethod
    def of(cls, backend: Backend, data: Mapping[str, str] | None) -> Self:
        return cls(data, initial={name: getattr(backend, name) for name in cls.base_fields})

    @property
    def facts(self) -> BackendFacts:
        typed = self.cleaned_data
        return {"weight": typed["weight"], "max_in_flight": typed["max_in_flight"]}


def clean_base_url(value: str) -> str:
    """`value` as http(s)://host[:port], or a ValidationError that says what is wrong."""
    url = value.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValidationError(_("This is not a URL. Write http://host:port.")) from error
    if parts.scheme not in {"http", "https"}:
        raise ValidationError(_("Start with http:// or https://."))
    if not parts.hostname or any(char.isspace() for char in url):
        raise ValidationError(_("Name a host: http://host:port."))
    if parts.username is not None or parts.password is not None:
        raise ValidationError(_("No user or password in the URL: use the field for the key."))
    if parts.path or parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValidationError(_("Only scheme, host and port, nothing after: Sluice adds /v1."))
    return url


class OrganizationForm(forms.Form):
    """A new customer and the person who owns the account."""

    name = NameField()
    slug = forms.SlugField(
        label=_("Short name"), max_length=50, help_text=_("In addresses: /o/vinter-bank/")
    )
    owner_email = EmailField(_("E-mail of the owner"))
    owner_name = NameField(_("Name of the owner"))

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"].lower()
        if slug in RESERVED or Organization.objects.filter(slug=slug).exists():
            raise ValidationError(
                _("An organization with this short name exists already: choose another.")
            )
        return slug

    def clean_owner_email(self) -> str:
        email: str = self.cleaned_data["owner_email"]
        if User.objects.filter(email__iexact=email, is_staff=True).exists():
            raise ValidationError(
                _("This is an operator, and operators own no organization: name somebody else.")
            )
        return email


class RegionForm(forms.Form):
    """A new place where backends can stand."""

    code = forms.SlugField(label=_("Code"), max_length=50, help_text=_("In answers: se-lulea"))
    site = forms.CharField(label=_("Site"), max_length=100, help_text=_("What people read: Luleå"))
    country = forms.RegexField(
        "^[A-Za-z]{2}$",
        label=_("Country"),
        help_text=_("ISO 3166-1, two letters: SE"),
        error_messages={"invalid": _("Two letters: SE.")},
    )
    jurisdiction = forms.CharField(
        label=_("Jurisdiction"), max_length=50, help_text=_("Whose law holds: EU")
    )

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"].lower()
        if Region.objects.filter(code=code).exists():
            raise ValidationError(_("A region with this code exists already: choose another."))
        return code

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"].upper()
        return country


class OfOneForm(forms.Form):
    """Of one organization, by its short name, or of all."""

    organization = forms.CharField(max_length=50, required=False)

    def clean_organization(self) -> Organization | None:
        slug: str = self.cleaned_data["organization"].strip().lower()
        found = Organization.objects.filter(slug=slug).first()
        if slug and found is None:
            raise ValidationError(
                _("No organization has this short name: it stands in the address of its pages.")
            )
        return found

    @property
    def tenant(self) -> Organization | None:
        """None for all."""
        found: Organization | None = self.cleaned_data.get("organization")
        return found


class OperatorLogForm(OfOneForm, LogForm):
    """The address of the request log of all organizations, or of the one that it names."""


class ExplorerForm(OfOneForm, DaysForm):
    """The address of the usage explorer: `rows` and `columns`, `measure`, days, and what of."""

    rows = forms.ChoiceField(choices=DIMENSIONS, required=False)
    columns = forms.ChoiceField(choices=DIMENSIONS, required=False)
    measure = forms.ChoiceField(choices=MEASURES, required=False)
    model = forms.CharField(max_length=100, required=False)
    currency = forms.ChoiceField(choices=Currency.choices, required=False)

    @override
    def clean(self) -> dict[str, Any]:
        super().clean()
        both = {self._rows, self._columns}
        if len(both) < 2 or both == TIMES:
            self.add_error("columns", _("Choose two that differ; a time is one of them at most."))
        elif "hour" in both and not self.errors and self.range.count > MOST_DAYS_BY_HOUR:
            limit = {"days": MOST_DAYS_BY_HOUR}
            self.add_error("rows", _("Hours are shown of at most %(days)s days.") % limit)
        return self.cleaned_data

    @property
    def question(self) -> Question:
        """What is asked; the usual question when it was not valid."""
        rows, columns = self._rows, self._columns
        if self.errors:
            return Question(self.range, "organization", "model", "cost")
        if columns in TIMES:
            rows, columns = columns, rows
        measure = cast("Measure", self.cleaned_data.get("measure") or "cost")
        model: str = self.cleaned_data.get("model", "")
        return Question(self.range, rows, columns, measure, self.tenant, model, self._currency)

    @property
    def _currency(self) -> str:
        """An organization has one."""
        if self.tenant:
            return currency_of(self.tenant)
        return self.cleaned_data.get("currency") or DEFAULT

    @property
    def _rows(self) -> Dimension:
        return cast("Dimension", self.cleaned_data.get("rows") or "organization")

    @property
    def _columns(self) -> Dimension:
        return cast("Dimension", self.cleaned_data.get("columns") or "model")
