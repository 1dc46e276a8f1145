"""What a key sees of the models, and how a model's life shows in answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest
from pytest_django.plugin import DjangoDbBlocker

from billing.services import rate_set
from inference import control
from inference.models import Capability, Deployment, Model, ModelStatus, Task
from tenants import services
from tests.inference.gateway.conftest import MODEL, Running, World, chat, record_of, wait_until
from tests.inference.gateway.test_images import png, url_of

SUNSET = datetime(2099, 1, 2, 3, tzinfo=UTC)


def make(world: World, public_id: str, **facts: Any) -> Model:
    model = control.model_create(
        actor=None,
        public_id=public_id,
        name=public_id.title(),
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
        **facts,
    )
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal("0.25"))
    control.model_deploy(actor=None, model=model, backend=world.backend, engine_model="tiny-llama")
    return control.model_set_enabled(actor=None, model=model, enabled=True)


@pytest.fixture(scope="module", autouse=True)
def _lives(world: World, gateway: Running, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Models in every state of their life, known to the gateway."""
    with django_db_blocker.unblock():
        new = make(
            world, "cat/new", aliases=["cat/latest", "cat"], family="Cat",
            capabilities=[Capability.TOOLS], licence="MIT", release_date=date(2026, 1, 2),
        )  # fmt: skip
        old, gone = make(world, "cat/old"), make(world, "cat/gone", aliases=["cat/lost"])
        control.model_set_status(
            actor=None, model=old, status=ModelStatus.DEPRECATED, sunset_at=SUNSET,
            replacement=new,
        )  # fmt: skip
        control.model_set_status(
            actor=None, model=gone, status=ModelStatus.RETIRED, replacement=new
        )
        make(world, "cat/small", max_body_bytes=2000, max_images=1, max_pixels=800)
        secret = make(world, "cat/secret")
        control.model_set_visibility(actor=None, model=secret, organizations=[world.cast.rival])
    headers = {"x-api-key": world.cast.rival_key.secret}
    url = f"{gateway.url}/v1/models/cat/secret"
    wait_until(lambda: httpx.get(url, headers=headers).status_code == 200)
    yield
    with django_db_blocker.unblock():
        Deployment.objects.filter(model__public_id__startswith="cat/").delete()
        Model.objects.filter(public_id__startswith="cat/").delete()


def test_a_model_tells_its_facts(http: httpx.Client) -> None:
    document = http.get("/v1/models/cat/new").json()
    assert document | {"created": 0} == {
        "id": "cat/new",
        "object": "model",
        "created": 0,
        "owned_by": "Acme",
        "name": "Cat/New",
        "family": "Cat",
        "aliases": ["cat/latest", "cat"],
        "tasks": ["chat"],
        "capabilities": ["tools"],
        "context_tokens": 2048,
        "regions": ["se-north"],
        "prices": {
            "currency": "EUR",
            "input": {"price": "0.25", "per": 1_000_000},
            "cached_input": {"price": "0.25", "per": 1_000_000},
            "output": {"price": "0.25", "per": 1_000_000},
        },
        "licence": "MIT",
        "release_date": "2026-01-02",
        "status": "active",
        "sunset_at": None,
        "replacement": None,
    }


def test_an_alias_finds_its_model(http: httpx.Client) -> None:
    assert http.get("/v1/models/cat/latest").json()["id"] == "cat/new"
    assert http.get("/v1/models/cat").json()["id"] == "cat/new"


def test_a_call_by_an_alias_is_answered_and_billed_under_the_id(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=chat(model="cat/latest"))
    assert answer.json()["model"] == "cat/new"
    assert record_of(answer).model == "cat/new"


def test_a_stream_by_an_alias_names_the_id(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", json=chat(model="cat", stream=True))
    assert '"model":"cat/new"' in answer.text.replace(" ", "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_deprecated_model_says_so_on_every_answer(http: httpx.Client, stream: bool) -> None:
    answer = http.post("/v1/chat/completions", json=chat(model="cat/old", stream=stream))
    assert answer.status_code == 200
    assert int(answer.headers["deprecation"].removeprefix("@")) <= datetime.now(UTC).timestamp()
    assert answer.headers["sunset"] == "Fri, 02 Jan 2099 03:00:00 GMT"
    document = http.get("/v1/models/cat/old").json()
    told = (document["status"], document["sunset_at"], document["replacement"])
    assert told == ("deprecated", "2099-01-02T03:00:00Z", "cat/new")


def test_an_active_model_does_not_end(http: httpx.Client) -> None:
    headers = http.post("/v1/chat/completions", json=chat(model=MODEL)).headers
    assert not {"deprecation", "sunset"} & set(headers)


@pytest.mark.parametrize("name", ["cat/gone", "cat/lost"])
def test_a_retired_model_is_not_found_and_what_replaces_it_is_told(
    http: httpx.Client, name: str
) -> None:
    for answer in (
        http.post("/v1/chat/completions", json=chat(model=name)),
        http.get(f"/v1/models/{name}"),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"] == {
            "message": f"The model `{name}` was retired. Use `cat/new` instead.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }


def test_a_retired_model_is_not_listed(http: httpx.Client) -> None:
    listed = {model["id"] for model in http.get("/v1/models").json()["data"]}
    assert {"cat/new", "cat/old"} <= listed
    assert "cat/gone" not in listed


def test_a_model_for_others_does_not_exist(http: httpx.Client, world: World) -> None:
    wanted = "The model `cat/secret` does not exist. `GET /v1/models` lists those that do."
    for answer in (
        http.post("/v1/chat/completions", json=chat(model="cat/secret")),
        http.get("/v1/models/cat/secret"),
    ):
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, wanted)
    assert "cat/secret" not in http.get("/v1/models").text


def test_a_model_for_one_organization_is_served_to_it(gateway: Running, world: World) -> None:
    headers = {"x-api-key": world.cast.rival_key.secret}
    url = f"{gateway.url}/v1/chat/completions"
    answer = httpx.post(url, headers=headers, json=chat(model="cat/secret"))
    assert answer.status_code == 200


def test_a_model_may_take_less_than_the_gateway(http: httpx.Client) -> None:
    image = {"type": "image_url", "image_url": {"url": url_of(png(30, 30))}}
    sent = {"model": "cat/small", "messages": [{"role": "user", "content": [image]}]}
    error = http.post("/v1/chat/completions", json=sent).json()["error"]
    assert "more than 800 pixels" in error["message"]
    large = http.post("/v1/chat/completions", json=chat("x" * 2000, model="cat/small"))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")
    assert "2,000 bytes" in large.json()["error"]["message"]
    assert http.post("/v1/chat/completions", json=chat(model="cat/small")).status_code == 200


def test_only_regions_that_the_organization_allows_are_told(
    world: World, gateway: Running, django_db_blocker: DjangoDbBlocker
) -> None:
    headers = {"x-api-key": world.cast.rival_key.secret}

    def regions() -> list[str]:
        found: list[str] = httpx.get(f"{gateway.url}/v1/models/cat/new", headers=headers).json()[
            "regions"
        ]
        return found

    def allow(*codes: str) -> None:
        with django_db_blocker.unblock():
            services.organization_set_regions(
                actor=None, organization=world.cast.rival, regions=codes
            )

    assert regions() == ["se-north"]
    allow("de-berlin")
    wait_until(lambda: regions() == [])
    allow()
    wait_until(lambda: regions() == ["se-north"])
