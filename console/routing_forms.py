"""The forms of the operator's pages about routing: a model's policy, an organization's regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, override

from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from console.policies import LABELS, MEANINGS, gateway_default, policy_read, unit_of
from console.simulator import PATHS, Headers
from inference.control import RoutingFacts
from inference.models import Model, ModelQuerySet, ModelStatus, Region
from inference.policies import SETTINGS
from tenants.models import Organization


def _number_field(name: str) -> forms.IntegerField:
    """Empty is the gateway's own value, which shows in its place."""
    return forms.IntegerField(
        label=", ".join(filter(None, (str(LABELS[name]), unit_of(name)))),
        required=False,
        min_value=1,
        max_value=3600 if unit_of(name) else 2**15 - 1,
        help_text=capfirst(MEANINGS[name]),
        widget=forms.NumberInput(attrs={"placeholder": f"{gateway_default(name):g}"}),
    )


class RoutingForm(forms.Form):
    """How requests for a model find a backend."""

    has_affinity = forms.BooleanField(
        label=_("Send what begins alike to the same backend"),
        required=False,
        help_text=_("Which has it cached: quicker, and cheaper by the price of cached input."),
    )
    fallback = forms.ModelChoiceField(
        label=_("Fallback"),
        queryset=Model.objects.none(),
        to_field_name="public_id",
        required=False,
        empty_label=_("None: the request gets the error"),
        help_text=_(
            "Answers when no backend of this model can, and is billed at its own rates."
            " The answer names both."
        ),
    )

    def __init__(self, model: Model, data: Any = None) -> None:
        policy = policy_read(model)
        names = ("has_affinity", *SETTINGS)
        initial = {name: getattr(policy, name) for name in names}
        initial["fallback"] = policy.fallback and policy.fallback.public_id
        super().__init__(data, initial=initial)
        self.fields["fallback"].queryset = fallbacks_of(model)  # type: ignore[attr-defined]
        self.fields |= {name: _number_field(name) for name in SETTINGS}

    @override
    def clean(self) -> None:
        """A limit beyond the time in all would never count."""
        total = self._effective("total_timeout_s")
        for name in SETTINGS:
            own = self.cleaned_data.get(name)
            if unit_of(name) and own is not None and own > total:
                text = _("Not longer than the time in all, %(total)g s.")
                self.add_error(name, ValidationError(text, params={"total": total}))

    def _effective(self, name: str) -> float:
        own: int | None = self.cleaned_data.get(name)
        return gateway_default(name) if own is None else own

    @property
    def facts(self) -> RoutingFacts:
        facts: RoutingFacts = {name: self.cleaned_data[name] for name in self.fields}  # type: ignore[assignment]
        return facts

    @property
    def numbers(self) -> list[forms.BoundField]:
        return [self[name] for name in SETTINGS]


def fallbacks_of(model: Model) -> ModelQuerySet:
    """Models that do all that `model` does, as far as tasks say."""
    others = Model.objects.exclude(pk=model.pk).exclude(status=ModelStatus.RETIRED)
    return others.filter(tasks__contains=model.tasks)


class TryForm(forms.Form):
    """A request to be tried, which is not sent."""

    text = forms.CharField(
        label=_("Body"),
        strip=False,
        max_length=1_000_000,
        widget=forms.Textarea(
            attrs={"rows": 12, "class": "form-control mono", "spellcheck": "false"}
        ),
    )
    organization = forms.CharField(
        label=_("Organization"),
        required=False,
        help_text=_("Its short name: vinter-bank. Empty: one that may use every region."),
    )
    path = forms.ChoiceField(
        label=_("Path"),
        required=False,
        choices=[("", _("As the fields say")), *((path, f"/v1/{path}") for path in PATHS)],
    )
    headers = forms.CharField(
        label=_("Headers"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2, "class": "form-control mono"}),
        help_text=_("One a line: X-Session-Id: 42"),
    )

    def clean_organization(self) -> Organization | None:
        slug: str = self.cleaned_data["organization"]
        found = Organization.objects.filter(slug=slug).first()
        if slug and not found:
            raise ValidationError(
                _("No organization has this short name: it stands in the address of its pages.")
            )
        return found

    def clean_headers(self) -> Headers:
        lines = [line.strip() for line in self.cleaned_data["headers"].splitlines()]
        parted = [line.partition(":") for line in lines if line]
        if any(not colon for _name, colon, _value in parted):
            raise ValidationError(_("Write each header on a line of its own, as Name: value."))
        return Headers((name.strip().lower().encode(), v.strip()) for name, _colon, v in parted)


class PlacementForm(forms.Form):
    """Where requests of an organization may go, and its share when requests wait.

    `agreed` are the regions that were shown to leave models without a backend.
    """

    regions = forms.MultipleChoiceField(
        label=_("Allowed regions"), required=False, widget=forms.CheckboxSelectMultiple
    )
    share = forms.IntegerField(
        label=_("Share when requests wait"),
        min_value=1,
        max_value=100,
        help_text=_(
            "An organization of share 2 gets twice as many tokens as one of share 1, as long as"
            " both wait. It reserves nothing and changes nothing while there is room."
        ),
    )
    agreed = forms.CharField(required=False, widget=forms.HiddenInput)

    @classmethod
    def of(cls, organization: Organization, data: Any = None) -> Self:
        regions = organization.allowed_regions
        form = cls(data, initial={"regions": regions, "share": organization.share})
        choices = [(one.code, f"{one.site}, {one.country}") for one in Region.objects.all()]
        form.fields["regions"].choices = choices  # type: ignore[attr-defined]
        return form

    @property
    def chosen(self) -> Sequence[str]:
        regions: list[str] = self.cleaned_data["regions"]
        return sorted(regions)

    @property
    def is_agreed(self) -> bool:
        """Whether these very regions were looked at."""
        agreed: str = self.cleaned_data["agreed"]
        return agreed == " ".join(self.chosen)
