"""The forms of the operator's pages about models, their prices and deployments."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Self, override

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import LIST_EUR, Component, Rate
from inference.cards import TEXTS
from inference.catalog import KnownModel
from inference.control import DeploymentFacts, ModelFacts
from inference.models import (
    MODEL_ID,
    Backend,
    Capability,
    Deployment,
    Model,
    ModelStatus,
    Task,
    components_of,
)
from tenants.models import Organization

START_FORMAT: Final = "%Y-%m-%dT%H:%M"
DAY_FORMAT: Final = "%Y-%m-%d"


class WordsField(forms.CharField):
    """Words with spaces or commas between them, as a list."""

    @override
    def prepare_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value

    @override
    def clean(self, value: Any) -> Any:
        return super().clean(value).replace(",", " ").split()


def price_field(component: Component) -> forms.DecimalField:
    return forms.DecimalField(
        label=component.label,
        required=False,
        min_value=Decimal(0),
        max_digits=20,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("EUR per minute")
        if component is Component.AUDIO_SECOND
        else _("EUR per million tokens"),
    )


def limit_field(label: Any, most: int) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=most)


class FactsForm(forms.Form):
    """What is said of a model."""

    name = forms.CharField(label=_("Name"), max_length=100)
    owned_by = forms.CharField(label=_("Made by"), max_length=100)
    family = forms.CharField(label=_("Family"), max_length=50, required=False)
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    aliases = WordsField(
        label=_("Aliases"),
        required=False,
        help_text=_("Other ids that customers may send, with spaces between them."),
    )
    licence = forms.CharField(label=_("Licence"), max_length=100, required=False)
    licence_url = forms.URLField(label=_("Text of the licence"), max_length=300, required=False)
    source_url = forms.URLField(label=_("Source"), max_length=300, required=False)
    release_date = forms.DateField(
        label=_("Released"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format=DAY_FORMAT),
    )
    context_tokens = forms.IntegerField(
        label=_("Context, tokens"), min_value=1, max_value=2**31 - 1
    )
    tasks = forms.MultipleChoiceField(
        label=_("Tasks"), choices=Task.choices, widget=forms.CheckboxSelectMultiple
    )
    capabilities = forms.MultipleChoiceField(
        label=_("Capabilities"),
        choices=Capability.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    max_body_bytes = limit_field(_("Largest request, bytes"), 2**31 - 1)
    max_images = limit_field(_("Most images"), 2**15 - 1)
    max_pixels = limit_field(_("Most pixels of an image"), 2**31 - 1)

    @classmethod
    def of(cls, model: Model) -> dict[str, Any]:
        """What the fields hold for `model`."""
        return {name: getattr(model, name) for name in FactsForm.base_fields}

    @property
    def facts(self) -> ModelFacts:
        facts: ModelFacts = {name: self.cleaned_data[name] for name in FactsForm.base_fields}  # type: ignore[assignment]
        return facts


class ModelForm(FactsForm):
    """A new model with its first prices, and optionally the backend that serves it."""

    public_id = forms.CharField(
        label=_("Id"),
        max_length=100,
        validators=[MODEL_ID],
        help_text=_("What customers put in the field “model”."),
    )
    backend = forms.ModelChoiceField(
        label=_("Backend"),
        queryset=Backend.objects.all(),
        required=False,
        empty_label=_("None yet"),
    )
    engine_model = forms.CharField(
        label=_("Name on the engine"),
        required=False,
        max_length=200,
        help_text=_("Empty: the same as the id."),
    )
    input = price_field(Component.INPUT)
    cached_input = price_field(Component.CACHED_INPUT)
    output = price_field(Component.OUTPUT)
    audio_second = price_field(Component.AUDIO_SECOND)
    enable = forms.BooleanField(label=_("Offer it to customers now"), required=False, initial=True)

    @staticmethod
    def from_catalog(known: KnownModel) -> dict[str, Any]:
        """What the fields hold at first for a model of the catalog."""
        facts = {name: getattr(known, name, None) for name in FactsForm.base_fields}
        return facts | {"public_id": known.id, "engine_model": known.engine_model}

    def clean_public_id(self) -> str:
        public_id: str = self.cleaned_data["public_id"]
        if Model.objects.filter(public_id=public_id).exists():
            raise ValidationError(_("A model with this id exists already: choose another."))
        return public_id

    @override
    def clean(self) -> None:
        """A model needs a price for whatever its tasks are billed by."""
        for component in components_of(self.cleaned_data.get("tasks", ())):
            if component not in self.errors and self.cleaned_data[component] is None:
                self.add_error(component, _("The tasks of this model are billed by it."))

    @property
    def prices(self) -> dict[Component, Decimal]:
        """EUR per `Component.unit_scale`, as typed, of what the model's tasks are billed by."""
        needed = components_of(self.cleaned_data["tasks"])
        return {component: self.cleaned_data[component] for component in needed}


class CardForm(forms.Form):
    """The texts of a model card."""

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data, initial=model.card)
        for field in TEXTS:
            self.fields[field.name] = forms.CharField(
                label=str(field.label),
                required=False,
                max_length=4000,
                widget=forms.Textarea(attrs={"rows": 2}),
                help_text=_("Annex XII, %(point)s") % {"point": field.point} if field.point else "",
            )


class StatusForm(forms.Form):
    """Where a model is in its life."""

    status = forms.ChoiceField(label=_("Status"), choices=ModelStatus.choices)
    sunset = forms.DateField(
        label=_("Sunset"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format=DAY_FORMAT),
        help_text=_("Until the beginning of this day, UTC, it is served. Retire it then."),
    )
    replacement = forms.ModelChoiceField(
        label=_("Replacement"),
        queryset=Model.objects.none(),
        to_field_name="public_id",
        required=False,
        empty_label=_("None"),
    )

    def __init__(self, model: Model, data: Any = None) -> None:
        sunset = model.sunset_at and model.sunset_at.astimezone(UTC).date()
        replacement = model.replacement and model.replacement.public_id
        super().__init__(
            data,
            initial={"status": model.status, "sunset": sunset, "replacement": replacement},
        )
        others = Model.objects.exclude(pk=model.pk).exclude(status=ModelStatus.RETIRED)
        self.fields["replacement"].queryset = others  # type: ignore[attr-defined]

    @property
    def sunset_at(self) -> datetime | None:
        day: date | None = self.cleaned_data["sunset"]
        return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None

    @override
    def add_error(self, field: str | None, error: Any) -> None:
        """What the service refuses concerns the status."""
        super().add_error(field or "status", error)


class VisibilityForm(forms.Form):
    """Who may know of a model."""

    who = forms.ChoiceField(
        label=_("Visible to"),
        choices=(("all", _("Every organization")), ("some", _("Only those named here"))),
        widget=forms.RadioSelect,
    )
    slugs = WordsField(
        label=_("Organizations"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Their short names, with spaces between them: vinter-bank"),
    )

    @classmethod
    def of(cls, model: Model, data: Any = None) -> Self:
        slugs = list(model.visible_to.order_by("slug").values_list("slug", flat=True))
        return cls(data, initial={"who": "all" if model.is_public else "some", "slugs": slugs})

    @override
    def clean(self) -> None:
        if self.cleaned_data.get("who") != "some":
            return
        slugs = set(self.cleaned_data["slugs"])
        found = list(Organization.objects.filter(slug__in=slugs))
        if missing := sorted(slugs - {one.slug for one in found}):
            text = _("There is no organization %(slugs)s.")
            self.add_error("slugs", ValidationError(text, params={"slugs": ", ".join(missing)}))
        elif not found:
            self.add_error("slugs", _("Name at least one."))
        self.cleaned_data["found"] = found

    @property
    def organizations(self) -> list[Organization] | None:
        return self.cleaned_data["found"] if self.cleaned_data["who"] == "some" else None


class DeploymentForm(forms.Form):
    """How a backend serves a model."""

    engine_model = forms.CharField(label=_("Name on the engine"), max_length=200)
    weight = forms.IntegerField(
        label=_("Weight"),
        min_value=1,
        max_value=100,
        initial=1,
        help_text=_("Its share beside the model’s other deployments, times the backend’s weight."),
    )
    revision = forms.CharField(
        label=_("Revision"),
        max_length=100,
        required=False,
        help_text=_("Which weights run there: a commit or a tag."),
    )
    engine_flags = forms.CharField(
        label=_("Engine flags"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("How the engine was started, for whoever starts it next."),
    )
    is_enabled = forms.BooleanField(label=_("Gets work"), required=False, initial=True)

    @classmethod
    def of(cls, deployment: Deployment) -> dict[str, Any]:
        return {name: getattr(deployment, name) for name in DeploymentForm.base_fields}

    @property
    def facts(self) -> DeploymentFacts:
        facts: DeploymentFacts = {  # type: ignore[assignment]
            name: self.cleaned_data[name] for name in DeploymentForm.base_fields
        }
        return facts


class NewDeploymentForm(DeploymentForm):
    """A model on another backend."""

    backend = forms.ModelChoiceField(label=_("Backend"), queryset=Backend.objects.none())

    field_order = ("backend",)

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data, initial={"engine_model": model.public_id})
        others = Backend.objects.exclude(deployments__model=model)
        self.fields["backend"].queryset = others  # type: ignore[attr-defined]


class RateForm(forms.Form):
    """A new price of one component of a model."""

    component = forms.ChoiceField(label=_("Component"))
    price = forms.DecimalField(
        label=_("Price, EUR"),
        min_value=Decimal(0),
        max_digits=20,
        decimal_places=6,
        widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
        help_text=_("Per million tokens; of audio per minute."),
    )
    valid_from = forms.DateTimeField(
        label=_("Valid from, UTC"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=START_FORMAT),
        help_text=_(
            "Empty: from now on. A rate that was valid is never changed; the first one of a "
            "component may begin in the past, for what was used without."
        ),
    )

    def __init__(self, model: Model, data: Any = None) -> None:
        super().__init__(data)
        self._model = model
        components = [(component.value, component.label) for component in model.components]
        self.fields["component"].choices = components  # type: ignore[attr-defined]

    def _has_rate(self) -> bool:
        component = self.cleaned_data.get("component")
        rates = Rate.objects.approved().filter(book=LIST_EUR, component=component)
        return rates.filter(model=self._model.public_id).exists()

    def clean_valid_from(self) -> datetime | None:
        start: datetime | None = self.cleaned_data["valid_from"]
        if start is not None and start < timezone.now() and self._has_rate():
            raise ValidationError(_("This has passed. Leave it empty to start now."))
        return start and start.astimezone(UTC)

    @override
    def add_error(self, field: str | None, error: Any) -> None:
        """What the service refuses concerns the start."""
        super().add_error(field or "valid_from", error)
