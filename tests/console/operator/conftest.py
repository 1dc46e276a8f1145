"""A small platform with traffic: what the operator's pages are read against."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import UsageHour
from billing.services import rate_set
from inference import control
from inference.live import CheckSeen
from inference.live.seen import BACKENDS, BackendSaid, encode
from inference.models import Backend, Model, Region, Task
from tenants.models import ApiKey
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.usage_rows import day_add

type Book = Callable[..., UsageHour]


@pytest.fixture
def operator(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.oskar)


@pytest.fixture
def customer(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


@pytest.fixture
def backend(cast: Cast, region: Region) -> Backend:
    """An active backend whose last check was good; nothing listens on its port."""
    backend = control.backend_register(
        actor=cast.oskar,
        name="lulea-gpu-01",
        base_url="http://127.0.0.1:9",
        engine="vllm",
        region=region,
        key="engine-secret",
    )
    return checked(backend, healthy=True)


@pytest.fixture
def model(cast: Cast, backend: Backend) -> Model:
    """An enabled model, priced and deployed on `backend`."""
    model = control.model_create(
        actor=cast.oskar,
        public_id="acme/tiny",
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
    )
    for component in model.components:
        rate_set(actor=cast.oskar, model="acme/tiny", component=component, price=Decimal("0.25"))
    control.model_deploy(actor=cast.oskar, model=model, backend=backend, engine_model="tiny")
    return control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)


@pytest.fixture
def book() -> Book:
    """Puts an hour of usage of a key into the rollup."""

    def book(
        key: ApiKey,
        *,
        model: str = "acme/tiny",
        hours_ago: int = 0,
        requests: int = 10,
        amount: str = "1.50",
        currency: str = "EUR",
        now: datetime | None = None,
    ) -> UsageHour:
        hour = (now or timezone.now()).replace(minute=0, second=0, microsecond=0)
        made = UsageHour.objects.create(
            organization_id=key.organization_id,
            project_id=key.project_id,
            api_key=key,
            model=model,
            hour=hour - timedelta(hours=hours_ago),
            requests=requests,
            failed_requests=0,
            input_tokens=requests * 100,
            cached_tokens=0,
            output_tokens=requests * 20,
            amount=Decimal(amount),
            currency=currency,
        )
        day_add(made)
        return made

    return book


def checked(backend: Backend, *, healthy: bool, error: str = "", age_s: int = 2) -> Backend:
    """As a gateway leaves a backend after a check."""
    at = timezone.now() - timedelta(seconds=age_s)
    check = CheckSeen(ok=healthy, at=at, duration_ms=12, error=error)
    valkey().hset(BACKENDS, str(backend.pk), encode(BackendSaid(not healthy, check)))
    return backend


def text_of(response: object) -> str:
    """What a page says, with its white space made plain."""
    content: bytes = response.content  # type: ignore[attr-defined] # any response
    return " ".join(content.decode().replace("\u2009", " ").split())
