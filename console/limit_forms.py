"""The forms about limits and plans, of customers and of operators."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Self, cast, override
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from billing.limiting import PlanTerms
from billing.models import LimitKind, Mode, Plan, PriceBook
from inference.models import Model
from tenants.models import ApiKey, Organization, Project

KEYS_LISTED: Final = 500


def _money(label: Any, **options: Any) -> forms.DecimalField:
    widget = forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"})
    return forms.DecimalField(
        label=label, min_value=0, max_digits=12, decimal_places=2, required=False, widget=widget,
        **options,
    )  # fmt: skip


class Scope(NamedTuple):
    """A project or a key of an organization, or neither: all of it."""

    project: Project | None = None
    api_key: ApiKey | None = None


class ScopeField(forms.ChoiceField):
    """A choice of the organization's own projects and active keys; `p:<id>` or `k:<id>`."""

    def offer(self, organization: Organization, *, whole: Any = "") -> None:
        """`whole` is what all of it is called, where that can be chosen."""
        projects = Project.objects.for_organization(organization).active()
        keys = ApiKey.objects.for_organization(organization).active().listed()[:KEYS_LISTED]
        groups: list[Any] = [("", whole)] if whole else []
        groups += _group(_("Projects"), "p", projects) + _group(_("API keys"), "k", keys)
        self.choices = groups


def _group(label: Any, letter: str, found: Iterable[Any]) -> list[Any]:
    choices = [(f"{letter}:{one.pk}", str(one)) for one in found]
    return [(label, choices)] if choices else []


def scope_read(organization: Organization, value: str) -> Scope:
    """What `value` of a `ScopeField` names."""
    letter, _colon, pk = value.partition(":")
    if letter == "p":
        return Scope(project=Project.objects.for_organization(organization).get(pk=UUID(pk)))
    if letter == "k":
        return Scope(api_key=ApiKey.objects.for_organization(organization).get(pk=UUID(pk)))
    return Scope()


class LimitForm(forms.Form):
    """The most that a project or a key may use."""

    scope = ScopeField(label=_("For"))
    kind = forms.ChoiceField(label=_("Limit"), choices=LimitKind.choices)
    value = forms.IntegerField(
        label=_("At most"), widget=forms.NumberInput(attrs={"min": 1, "inputmode": "numeric"})
    )
    model = forms.ChoiceField(label=_("Of"), required=False)

    def __init__(self, organization: Organization, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.organization = organization
        if "scope" in self.fields:
            cast("ScopeField", self.fields["scope"]).offer(organization)
        models = Model.objects.enabled().for_organization(organization)
        names = models.order_by("public_id").values_list("public_id", flat=True)
        choices = [("", _("All models together")), *((name, name) for name in names)]
        cast("forms.ChoiceField", self.fields["model"]).choices = choices

    @property
    def facts(self) -> dict[str, Any]:
        """For `limit_set`."""
        typed = self.cleaned_data
        scope = scope_read(self.organization, typed.get("scope", ""))
        facts = {name: typed[name] for name in ("value", "model")}
        return facts | scope._asdict() | {"kind": LimitKind(typed["kind"])}


class OverrideForm(LimitForm):
    """What one organization may use in place of its plan's default."""

    scope = None  # type: ignore[assignment] # takes the field away
    ends_at = forms.DateTimeField(
        label=_("Ends, UTC"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text=_("Then the plan's default holds again. Empty: until it is removed."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("The customer sees it: “Load test in week 48”."),
    )

    @property
    @override
    def facts(self) -> dict[str, Any]:
        ends_at: datetime | None = self.cleaned_data["ends_at"]
        own = {
            "reason": self.cleaned_data["reason"],
            "ends_at": ends_at and ends_at.astimezone(UTC),
        }
        return super().facts | own


class PlanForm(forms.Form):
    """What organizations on a plan may use by default, and how they buy."""

    name = forms.CharField(label=_("Name"), max_length=100)
    mode = forms.ChoiceField(
        label=_("Payment"), choices=Mode.choices, initial=Mode.PREPAID, required=False
    )
    credit_limit = _money(_("Credit limit"), help_text=_("Where it is paid afterwards."))
    promo_monthly = _money(
        _("Free credit each month"), help_text=_("What is left of it expires with the month.")
    )
    book = forms.ModelChoiceField(
        label=_("Price book"),
        queryset=PriceBook.objects.filter(organization=None),
        required=False,
        empty_label=_("None: the list"),
    )
    models = forms.MultipleChoiceField(
        label=_("Models"), required=False, help_text=_("None chosen: every model.")
    )
    support = forms.CharField(label=_("Support"), max_length=200, required=False)
    is_public = forms.BooleanField(label=_("On the page of prices"), required=False)
    self_service = forms.BooleanField(label=_("Customers may choose it"), required=False)
    rank = forms.IntegerField(
        label=_("Rank"),
        min_value=0,
        max_value=1000,
        required=False,
        help_text=_("Plans are listed from the lowest rank to the highest."),
    )

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.fields |= {kind.value: _most(str(kind.label)) for kind in LimitKind}
        names = list(Model.objects.order_by("public_id").values_list("public_id", flat=True))
        kept = [name for name in self.initial.get("models", ()) if name not in names]
        choices = [(name, name) for name in (*names, *kept)]
        cast("forms.MultipleChoiceField", self.fields["models"]).choices = choices
        first = ("slug", "name", *(kind.value for kind in LimitKind))
        self.order_fields([name for name in first if name in self.fields])

    @classmethod
    def of(cls, plan: Plan, data: Any = None) -> Self:
        return cls(data, initial={name: getattr(plan, name) for name in _PLAN})

    @property
    def facts(self) -> PlanTerms:
        """What is not said of money is as it is without a plan."""
        typed = {name: self.cleaned_data[name] for name in _PLAN}
        typed["mode"] = typed["mode"] or Mode.PREPAID
        typed["promo_monthly"] = typed["promo_monthly"] or Decimal(0)
        typed["rank"] = typed["rank"] or 0
        return cast("PlanTerms", typed)


_PLAN: Final = tuple(PlanTerms.__annotations__)


def _most(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "placeholder": _("No limit")}),
    )


class NewPlanForm(PlanForm):
    slug = forms.SlugField(
        label=_("Short name"), max_length=50, help_text=_("Letters, digits and hyphens: trial-2026")
    )

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug == "add":
            raise ValidationError(_("Choose another name: this one is an address of the console."))
        if Plan.objects.filter(slug=slug).exists():
            raise ValidationError(_("A plan with this short name exists already: choose another."))
        return slug
