"""For operators: models, backends and deployments."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from django.shortcuts import get_object_or_404
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from console.api.callers import Operator
from console.api.keys import Deleted
from console.api.operations import PlatformView, operation
from console.api.paging import Page, Paged, PagedByNumber, page_of
from console.api.projects import seconds
from console.api.reading import Name, Sent, Text
from console.api.words import (
    BackendStateName,
    CapabilityName,
    EngineName,
    TaskName,
)
from console.operator_forms import clean_base_url
from inference import control
from inference.gateway.errors import InvalidRequest
from inference.models import Backend as BackendRow
from inference.models import BackendState, Region
from inference.models import Deployment as DeploymentRow
from inference.models import Model as ModelRow

Id = Annotated[str, Meta(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$(?!\n)")]
Slug = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9_-]+$(?!\n)")]
Url = Annotated[
    str, Meta(max_length=200, pattern=r"^https?://[^\x00-\x20/?#]+(/[^\x00-\x20]*)?$(?!\n)")
]
Weight = Annotated[int, Meta(ge=1, le=100)]
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Prose = Annotated[str, Meta(max_length=10_000, pattern=r"^[^\x00]*$")]


class Model(Struct, kw_only=True):
    object: Literal["platform.model"] = "platform.model"
    id: str
    public_id: str
    name: str
    aliases: list[str]
    owned_by: str
    description: str
    tasks: list[str]
    capabilities: list[str]
    context_tokens: int
    status: str
    is_enabled: bool
    is_public: bool
    created_at: int


class ModelNew(Sent, kw_only=True):
    """Not offered before it has rates: `is_enabled` is for later."""

    public_id: Id
    name: Name
    owned_by: Name
    tasks: Annotated[tuple[TaskName, ...], Meta(min_length=1, max_length=10)]
    context_tokens: Count
    capabilities: Annotated[tuple[CapabilityName, ...], Meta(max_length=10)] = ()
    aliases: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()
    description: Prose = ""


class ModelChange(Sent, kw_only=True):
    is_enabled: bool


class Backend(Struct, kw_only=True):
    """Its engine's key is never told."""

    object: Literal["platform.backend"] = "platform.backend"
    id: str
    name: str
    base_url: str
    engine: str
    region: str
    weight: int
    max_in_flight: int
    state: str
    created_at: int


class BackendNew(Sent, kw_only=True):
    name: Slug
    base_url: Url
    region: Slug
    engine: EngineName = "vllm"
    engine_key: Text = ""
    weight: Weight = 1


class BackendChange(Sent, kw_only=True):
    state: BackendStateName | UnsetType = UNSET
    weight: Weight | UnsetType = UNSET
    max_in_flight: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET


class Deployment(Struct, kw_only=True):
    object: Literal["platform.deployment"] = "platform.deployment"
    id: str
    model: str
    backend: str
    engine_model: str
    weight: int
    is_enabled: bool


class DeploymentNew(Sent, kw_only=True):
    model: Id
    backend: Slug
    engine_model: Text
    weight: Weight = 1
    is_enabled: bool = True


def _model_shown(row: ModelRow) -> Model:
    return Model(
        id=str(row.pk),
        public_id=row.public_id,
        name=row.name,
        aliases=row.aliases,
        owned_by=row.owned_by,
        description=row.description,
        tasks=row.tasks,
        capabilities=row.capabilities,
        context_tokens=row.context_tokens,
        status=row.status,
        is_enabled=row.is_enabled,
        is_public=row.is_public,
        created_at=seconds(row.created_at),
    )


class ModelsView(PlatformView):
    route = "platform_models"

    @operation
    def get(self, caller: Operator, query: Paged) -> Page[Model]:
        """List the models."""
        return page_of(ModelRow.objects.all(), query, _model_shown)

    @operation
    def post(self, caller: Operator, body: ModelNew) -> Model:
        """Add a model. Give it rates and a deployment, then enable it."""
        facts: dict[str, Any] = structs.asdict(body)
        for name in ("tasks", "capabilities", "aliases"):
            facts[name] = list(facts[name])
        return _model_shown(control.model_create(actor=caller.user, **facts))


class ModelView(PlatformView):
    route = "platform_model"

    @operation
    def get(self, caller: Operator, model: UUID) -> Model:
        """One model."""
        return _model_shown(get_object_or_404(ModelRow, pk=model))

    @operation
    def post(self, caller: Operator, model: UUID, body: ModelChange) -> Model:
        """Offer a model to customers, or withdraw it."""
        row = get_object_or_404(ModelRow, pk=model)
        enabled = control.model_set_enabled(actor=caller.user, model=row, enabled=body.is_enabled)
        return _model_shown(enabled)


def _backend_shown(row: BackendRow) -> Backend:
    return Backend(
        id=str(row.pk),
        name=row.name,
        base_url=row.base_url,
        engine=row.engine,
        region=row.region_id,
        weight=row.weight,
        max_in_flight=row.max_in_flight,
        state=row.state,
        created_at=seconds(row.created_at),
    )


class BackendsView(PlatformView):
    route = "platform_backends"

    @operation
    def get(self, caller: Operator, query: Paged) -> Page[Backend]:
        """List the engine servers."""
        return page_of(BackendRow.objects.all(), query, _backend_shown)

    @operation
    def post(self, caller: Operator, body: BackendNew) -> Backend:
        """Add an engine server."""
        region = Region.objects.filter(code=body.region).first()
        if region is None:
            raise InvalidRequest("There is no such region.", param="region")
        if body.name == "add" or BackendRow.objects.filter(name=body.name).exists():
            raise InvalidRequest("Choose another name: this one is taken.", param="name")
        made = control.backend_register(
            actor=caller.user,
            name=body.name,
            base_url=clean_base_url(body.base_url),
            engine=body.engine,
            region=region,
            key=body.engine_key,
            weight=body.weight,
        )
        return _backend_shown(made)


class BackendView(PlatformView):
    route = "platform_backend"

    @operation
    def get(self, caller: Operator, backend: UUID) -> Backend:
        """One engine server."""
        return _backend_shown(get_object_or_404(BackendRow, pk=backend))

    @operation
    def post(self, caller: Operator, backend: UUID, body: BackendChange) -> Backend:
        """Change how much work a backend gets, or whether it gets any."""
        row = get_object_or_404(BackendRow, pk=backend)
        facts: dict[str, Any] = {
            name: value
            for name in ("weight", "max_in_flight")
            if (value := getattr(body, name)) is not UNSET
        }
        if facts:
            row = control.backend_update(actor=caller.user, backend=row, **facts)
        if body.state is not UNSET:
            row = control.backend_set_state(
                actor=caller.user, backend=row, state=BackendState(body.state)
            )
        return _backend_shown(row)


def _deployment_shown(row: DeploymentRow) -> Deployment:
    return Deployment(
        id=str(row.pk),
        model=row.model.public_id,
        backend=row.backend.name,
        engine_model=row.engine_model,
        weight=row.weight,
        is_enabled=row.is_enabled,
    )


class DeploymentsView(PlatformView):
    route = "platform_deployments"

    @operation
    def get(self, caller: Operator, query: PagedByNumber) -> Page[Deployment]:
        """List which models run on which backends."""
        found = DeploymentRow.objects.select_related("model", "backend")
        return page_of(found, query, _deployment_shown)

    @operation
    def post(self, caller: Operator, body: DeploymentNew) -> Deployment:
        """Let a backend serve a model, under the name that the engine knows it by."""
        model = ModelRow.objects.filter(public_id=body.model).first()
        backend = BackendRow.objects.filter(name=body.backend).first()
        if model is None:
            raise InvalidRequest("There is no such model.", param="model")
        if backend is None:
            raise InvalidRequest("There is no such backend.", param="backend")
        made = control.model_deploy(
            actor=caller.user,
            model=model,
            backend=backend,
            engine_model=body.engine_model,
            weight=body.weight,
            is_enabled=body.is_enabled,
        )
        return _deployment_shown(made)


class DeploymentView(PlatformView):
    route = "platform_deployment"

    @operation
    def get(self, caller: Operator, deployment: int) -> Deployment:
        """One deployment."""
        found = DeploymentRow.objects.select_related("model", "backend")
        return _deployment_shown(get_object_or_404(found, pk=deployment))

    @operation
    def delete(self, caller: Operator, deployment: int) -> Deleted:
        """Take a model off a backend; what runs there is not cut off."""
        found = DeploymentRow.objects.select_related("model", "backend")
        control.deployment_remove(
            actor=caller.user, deployment=get_object_or_404(found, pk=deployment)
        )
        return Deleted(object="platform.deployment.deleted", id=str(deployment))
