"""The models a customer can call."""

from __future__ import annotations

from decimal import Decimal

import pytest
import redis
from django.test import Client
from django.utils import timezone

from billing.models import Component
from billing.services import rate_set
from console.views import models as views
from inference import control
from inference.live import CheckSeen
from inference.live.seen import BACKENDS, BackendSaid, encode
from inference.models import Backend, BackendState, Model, Task
from tenants import services
from tenants.valkey import client as valkey
from tests.conftest import Cast


@pytest.fixture
def backend(cast: Cast) -> Backend:
    region = control.region_create(
        actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
    )
    return control.backend_register(
        actor=None,
        name="lulea-gpu-01",
        base_url="http://10.9.8.7:8000",
        engine="vllm",
        region=region,
    )


def offered(public_id: str, backend: Backend, *, enabled: bool = True) -> Model:
    model = control.model_create(
        actor=None,
        public_id=public_id,
        name=public_id.title(),
        tasks=[Task.CHAT],
        context_tokens=131_072,
        owned_by="OpenAI",
        licence="Apache-2.0",
    )
    for component, price in zip(Component, ("0.15", "0.075", "0.6"), strict=False):
        rate_set(actor=None, model=public_id, component=component, price=Decimal(price))
    control.model_deploy(actor=None, model=model, backend=backend, engine_model="secret-name")
    return control.model_set_enabled(actor=None, model=model, enabled=enabled)


@pytest.fixture
def max_(client: Client, cast: Cast) -> Client:
    client.force_login(cast.max)
    return client


def test_a_model_shows_its_prices_and_where_it_runs(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend)

    page = max_.get("/o/acme/models/").text

    for text in ("gpt-oss", "€0.15", "€0.075", "€0.60", "131\u2009072", "Apache-2.0", "Luleå, SE"):
        assert text in page
    assert "Available" in page


def test_what_customers_need_not_know_stays_inside(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend)

    page = max_.get("/o/acme/models/").text

    for text in ("lulea-gpu-01", "10.9.8.7", "secret-name"):
        assert text not in page


def test_a_model_whose_backend_drains_is_unavailable(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend)
    Backend.objects.update(state=BackendState.DRAINING)

    assert "Unavailable" in max_.get("/o/acme/models/").text


def test_a_model_whose_backend_is_down_is_unavailable(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend)
    check = CheckSeen(ok=False, at=timezone.now(), duration_ms=3)
    valkey().hset(BACKENDS, str(backend.pk), encode(BackendSaid(is_down=True, check=check)))

    assert "Unavailable" in max_.get("/o/acme/models/").text


def test_models_are_shown_while_valkey_is_away(
    max_: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    offered("gpt-oss", backend)
    with monkeypatch.context() as patched:
        patched.setattr(redis.Redis, "execute_command", refuse)
        page = max_.get("/o/acme/models/")

    assert (page.status_code, "Available" in page.text) == (200, True)


def test_a_disabled_model_is_not_offered(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend, enabled=False)

    page = max_.get("/o/acme/models/").text

    assert "gpt-oss" not in page
    assert "No models yet." in page


def test_the_list_is_filtered_by_task(max_: Client, backend: Backend) -> None:
    offered("gpt-oss", backend)

    assert "gpt-oss" in max_.get("/o/acme/models/?task=chat").text
    assert "No model is like this." in max_.get("/o/acme/models/?task=completion").text
    assert "gpt-oss" in max_.get("/o/acme/models/?task=juggling").text, "no such choice"


def test_a_long_list_goes_on_where_the_page_ended(
    max_: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_ROWS", 1)
    offered("alpha", backend)
    offered("beta", backend)

    assert 'href="?after=alpha"' in max_.get("/o/acme/models/").text
    last = max_.get("/o/acme/models/?after=alpha").text
    assert "Beta" in last
    assert "More models" not in last


def test_an_organization_sees_only_the_regions_that_it_allows(
    max_: Client, cast: Cast, backend: Backend
) -> None:
    abroad = control.region_create(
        actor=None, code="de-berlin", site="Berlin", country="DE", jurisdiction="EU"
    )
    other = control.backend_register(
        actor=None, name="berlin", base_url="http://127.0.0.1:9", engine="vllm", region=abroad
    )
    offered("abroad", other)
    control.model_deploy(
        actor=None, model=offered("both", backend), backend=other, engine_model="x"
    )
    assert "Your requests go only to" not in max_.get("/o/acme/models/").text
    services.organization_set_regions(actor=None, organization=cast.acme, regions=["se-north"])
    page = max_.get("/o/acme/models/").text
    assert "Your requests go only to Luleå, SE." in page
    assert "Berlin" not in page
    assert "Unavailable" in max_.get("/o/acme/models/abroad/").text
    assert "Unavailable" not in max_.get("/o/acme/models/both/").text
