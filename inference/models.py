"""Where: regions, backends, models and their deployments. Customers see only models and regions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final, Self, override

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models import Component
from tenants.models import Organization, new_id

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Region(models.Model):
    """Where a backend stands."""

    code = models.SlugField(_("code"), primary_key=True, max_length=50)
    site = models.CharField(_("site"), max_length=100)
    country = models.CharField(_("country"), max_length=2, help_text=_("ISO 3166-1, two letters"))
    jurisdiction = models.CharField(_("jurisdiction"), max_length=50)

    class Meta:
        ordering: ClassVar = ["code"]

    @override
    def __str__(self) -> str:
        return self.site


class Task(models.TextChoices):
    """What a model can be asked to do; the gateway offers an endpoint to the models of its task."""

    CHAT = "chat", _("Chat")
    COMPLETION = "completion", _("Completion")
    EMBEDDING = "embedding", _("Embedding")
    RERANK = "rerank", _("Rerank")
    TRANSCRIPTION = "transcription", _("Transcription")
    TRANSLATION = "translation", _("Translation")

    @property
    def components(self) -> frozenset[Component]:
        """What is counted and billed when a model does it."""
        return _COMPONENTS[self]


_GENERATION: Final = frozenset({Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT})
_READING: Final = frozenset({Component.INPUT})
_LISTENING: Final = frozenset({Component.AUDIO_SECOND})
_COMPONENTS: Final = {
    Task.CHAT: _GENERATION,
    Task.COMPLETION: _GENERATION,
    Task.EMBEDDING: _READING,
    Task.RERANK: _READING,
    Task.TRANSCRIPTION: _LISTENING,
    Task.TRANSLATION: _LISTENING,
}


def components_of(tasks: Iterable[str]) -> list[Component]:
    """What a model with these tasks needs a rate for, in the order of Component."""
    needed = frozenset[Component]().union(*(Task(task).components for task in tasks))
    return [component for component in Component if component in needed]


class Capability(models.TextChoices):
    """What a model can do beyond its tasks."""

    VISION = "vision", _("Images")
    AUDIO_INPUT = "audio_input", _("Audio in chats")
    TOOLS = "tools", _("Tools")
    JSON_SCHEMA = "json_schema", _("JSON schema")
    REASONING = "reasoning", _("Reasoning")


class ModelStatus(models.TextChoices):
    """Where a model is in its life. A retired one is not served."""

    PREVIEW = "preview", _("Preview")
    ACTIVE = "active", _("Active")
    DEPRECATED = "deprecated", _("Deprecated")
    RETIRED = "retired", _("Retired")

    @property
    def is_ending(self) -> bool:
        return self in {ModelStatus.DEPRECATED, ModelStatus.RETIRED}


class ModelQuerySet(models.QuerySet["Model"]):
    def enabled(self) -> Self:
        """What is offered to customers: enabled, and not retired."""
        return self.filter(is_enabled=True).exclude(status=ModelStatus.RETIRED)

    def for_organization(self, organization: Organization) -> Self:
        """What `organization` may know of."""
        named = Q(Exists(Model.visible_to.through.objects.filter(
            model=OuterRef("pk"), organization=organization
        )))  # fmt: skip
        return self.filter(Q(is_public=True) | named)


MODEL_ID: Final = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._/:-]*\Z",
    _("Letters, digits and . _ / : - only, a letter or digit first."),
)


class Model(models.Model):
    """What customers name in a request, by its id or one of its aliases.

    `card` holds the texts of its card by the names of `inference.cards`. Limits are of one request;
    None is the gateway's own.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    public_id = models.CharField(
        _("id"),
        max_length=100,
        unique=True,
        validators=[MODEL_ID],
        help_text=_("What customers put in the field “model”."),
    )
    aliases = ArrayField(
        models.CharField(max_length=100, validators=[MODEL_ID]),
        verbose_name=_("aliases"),
        default=list,
        blank=True,
    )
    name = models.CharField(_("name"), max_length=100)
    family = models.CharField(_("family"), max_length=50, blank=True)
    owned_by = models.CharField(_("made by"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    tasks = ArrayField(models.CharField(max_length=20, choices=Task), verbose_name=_("tasks"))
    capabilities = ArrayField(
        models.CharField(max_length=20, choices=Capability),
        verbose_name=_("capabilities"),
        default=list,
        blank=True,
    )
    context_tokens = models.PositiveIntegerField(_("context"))
    max_body_bytes = models.PositiveIntegerField(_("largest request, bytes"), null=True, blank=True)
    max_images = models.PositiveSmallIntegerField(_("most images"), null=True, blank=True)
    max_pixels = models.PositiveIntegerField(_("most pixels of an image"), null=True, blank=True)
    licence = models.CharField(_("licence"), max_length=100, blank=True)
    licence_url = models.URLField(_("text of the licence"), max_length=300, blank=True)
    source_url = models.URLField(_("source"), max_length=300, blank=True)
    release_date = models.DateField(_("released"), null=True, blank=True)
    card = models.JSONField(_("card"), default=dict, blank=True)
    status = models.CharField(
        _("status"), max_length=20, choices=ModelStatus, default=ModelStatus.ACTIVE
    )
    status_since = models.DateTimeField(default=timezone.now, editable=False)
    sunset_at = models.DateTimeField(_("sunset"), null=True, blank=True)
    replacement = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="replaces"
    )
    is_enabled = models.BooleanField(_("enabled"), default=False)
    is_public = models.BooleanField(_("for every organization"), default=True)
    visible_to = models.ManyToManyField(Organization, related_name="+", blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["public_id"]

    @override
    def __str__(self) -> str:
        return self.public_id

    @property
    def components(self) -> list[Component]:
        """What it needs a rate for before it can be offered."""
        return components_of(self.tasks)


def _seconds(label: StrOrPromise) -> models.PositiveSmallIntegerField[int | None, int | None]:
    return models.PositiveSmallIntegerField(
        label, null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )


class RoutingPolicy(models.Model):
    """How requests for a model find a backend, where the operator chose; None is the gateway's own.

    `max_waiting` is for each organization. The model of `fallback` answers when no backend of this
    one can.
    """

    model = models.OneToOneField(
        Model, models.CASCADE, primary_key=True, related_name="routing_policy"
    )
    has_affinity = models.BooleanField(
        _("affinity"),
        default=True,
        help_text=_("What begins alike goes to the same backend, which has it cached."),
    )
    fallback = models.ForeignKey(
        Model, models.SET_NULL, null=True, blank=True, related_name="falls_back_here"
    )
    connect_timeout_s = _seconds(_("to connect, s"))
    first_byte_timeout_s = _seconds(_("to the first byte of a stream, s"))
    idle_timeout_s = _seconds(_("between two pieces of an answer, s"))
    total_timeout_s = _seconds(_("in all, s"))
    queue_timeout_s = _seconds(_("in the queue, s"))
    max_waiting = models.PositiveSmallIntegerField(_("most that wait"), null=True, blank=True)

    @override
    def __str__(self) -> str:
        return f"routing of {self.model}"


class Engine(models.TextChoices):
    VLLM = "vllm", "vLLM"
    LLAMACPP = "llamacpp", "llama.cpp"


class BackendState(models.TextChoices):
    ACTIVE = "active", _("Active")
    DRAINING = "draining", _("Draining")
    DISABLED = "disabled", _("Disabled")


class Backend(models.Model):
    """One engine server. How it does is seen in `inference.live`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(_("name"), max_length=50, unique=True)
    base_url = models.URLField(
        _("URL"), max_length=200, help_text=_("Without /v1: http://10.0.0.5:8000")
    )
    engine = models.CharField(_("engine"), max_length=20, choices=Engine, default=Engine.VLLM)
    region = models.ForeignKey(Region, models.PROTECT, related_name="backends")
    weight = models.PositiveSmallIntegerField(
        _("weight"), default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    max_in_flight = models.PositiveIntegerField(
        _("most in flight"),
        default=256,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text=_("More requests wait in the gateway. As --max-num-seqs of vLLM, or a bit more."),
    )
    state = models.CharField(
        _("state"), max_length=20, choices=BackendState, default=BackendState.ACTIVE
    )
    sealed_key = models.BinaryField(default=b"", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar = ["name"]

    @override
    def __str__(self) -> str:
        return self.name


class BackendCost(models.Model):
    """What an hour of a backend costs us, EUR, from the day `since` (UTC) until the next row's.

    An hour costs the same whether the backend works or not; 0 says that it was given back.
    """

    backend = models.ForeignKey(Backend, models.CASCADE, related_name="costs")
    since = models.DateField(_("from"))
    per_hour = models.DecimalField(_("EUR per hour"), max_digits=12, decimal_places=4)

    class Meta:
        ordering: ClassVar = ["backend", "-since"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["backend", "since"], name="backend_cost_of_day"),
            models.CheckConstraint(condition=Q(per_hour__gte=0), name="backend_cost_not_negative"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.per_hour} EUR an hour since {self.since}"


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def routed(self) -> Self:
        """Those that may get work, if their backend answers."""
        return self.filter(is_enabled=True, backend__state=BackendState.ACTIVE)


class Deployment(models.Model):
    """A model on a backend, under the name that the engine knows it by.

    `weight` is its share beside the model's other deployments, times the weight of its backend.
    `revision` and `engine_flags` say what runs there; nothing acts on them.
    """

    model = models.ForeignKey(Model, models.CASCADE, related_name="deployments")
    backend = models.ForeignKey(Backend, models.CASCADE, related_name="deployments")
    engine_model = models.CharField(_("name on the engine"), max_length=200)
    weight = models.PositiveSmallIntegerField(
        _("weight"), default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    revision = models.CharField(_("revision"), max_length=100, blank=True)
    engine_flags = models.TextField(_("engine flags"), blank=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["model", "backend"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "backend"], name="deployment_unique")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.model} on {self.backend}"
