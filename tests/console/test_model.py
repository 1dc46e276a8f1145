"""The page of one model, for customers."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.services import rate_set
from inference import control
from inference.models import Backend, Capability, Model, ModelStatus, Region, Task
from tests.conftest import Cast

URL = "/o/acme/models/acme/eye/"


@pytest.fixture
def backend(region: Region) -> Backend:
    return control.backend_register(
        actor=None, name="gpu-1", base_url="http://10.9.8.7:8000", engine="vllm", region=region
    )


def make(public_id: str, backend: Backend, tasks: list[Task], **facts: Any) -> Model:
    """An enabled model that costs 0.5 EUR whatever it is billed by."""
    model = control.model_create(
        actor=None,
        public_id=public_id,
        name=public_id.title(),
        tasks=tasks,
        context_tokens=131_072,
        owned_by="Acme",
        **facts,
    )
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal("0.5"))
    control.model_deploy(actor=None, model=model, backend=backend, engine_model="inside")
    return control.model_set_enabled(actor=None, model=model, enabled=True)


@pytest.fixture
def eye(backend: Backend) -> Model:
    return make(
        "acme/eye",
        backend,
        [Task.CHAT],
        aliases=["acme/eye-latest"],
        capabilities=[Capability.VISION],
        licence="MIT",
        licence_url="https://example.com/mit",
        max_images=7,
        card={"intended_use": "Reading signs.\nAnd maps: https://maps.com/a, llama.com <b>"},
    )


@pytest.fixture
def max_(client: Client, cast: Cast) -> Client:
    client.force_login(cast.max)
    return client


def test_a_model_shows_what_there_is_to_know(max_: Client, eye: Model) -> None:
    page = max_.get(URL).text

    for text in (
        "acme/eye-latest", "€0.50", "per 1 M tokens", "131\u2009072", "Luleå, SE", "Images",
        'href="https://example.com/mit"', "llama.com &lt;b&gt;", "7 a request",
        'Reading signs.<br>And maps: <a href="https://maps.com/a"',
        "4\u2009MB, 20\u2009MB with images",
    ):  # fmt: skip
        assert text in page
    for secret in ("gpu-1", "10.9.8.7", "inside"):
        assert secret not in page


def test_each_path_of_its_tasks_has_a_snippet_with_its_id(max_: Client, eye: Model) -> None:
    page = max_.get(URL).text

    for path in ("chat/completions", "responses", "messages"):
        assert f"POST /v1/{path}<" in page
    assert "POST /v1/embeddings<" not in page
    assert page.count("acme/eye&quot;") == 9, "three paths in three languages"


def test_what_is_billed_by_the_minute_says_so(max_: Client, backend: Backend) -> None:
    make("ear", backend, [Task.TRANSCRIPTION])
    page = max_.get("/o/acme/models/ear/").text
    assert "per minute" in page
    assert "100\u2009MB" in page
    assert "per 1 M tokens" not in page
    assert "131\u2009072" not in page, "a context is nothing to plan with"


def test_an_alias_leads_to_its_model(max_: Client, eye: Model) -> None:
    answer = max_.get("/o/acme/models/acme/eye-latest/")
    assert (answer.status_code, answer["Location"]) == (302, URL)


def test_what_ends_says_when_and_what_comes_instead(
    max_: Client, eye: Model, backend: Backend
) -> None:
    new = make("newer", backend, [Task.CHAT])
    control.model_set_status(
        actor=None,
        model=eye,
        status=ModelStatus.DEPRECATED,
        sunset_at=datetime(2099, 1, 2, tzinfo=UTC),
        replacement=new,
    )
    page = max_.get(URL).text
    assert "Deprecated: it is served until 2 Jan 2099." in page
    assert 'href="/o/acme/models/newer/">Move to Newer<' in page

    control.model_set_visibility(actor=None, model=new, organizations=[])
    assert "Newer" not in max_.get(URL).text, "nobody learns of what they cannot call"


def test_a_retired_model_is_explained_but_not_listed(max_: Client, eye: Model) -> None:
    control.model_set_status(actor=None, model=eye, status=ModelStatus.RETIRED)
    page = max_.get(URL).text
    assert "Retired: a request for it gets 404." in page
    assert "POST /v1/" not in page
    assert "acme/eye" not in max_.get("/o/acme/models/").text


def test_a_preview_says_so(max_: Client, eye: Model) -> None:
    control.model_set_status(actor=None, model=eye, status=ModelStatus.PREVIEW)
    assert "Preview: it may change or go without notice." in max_.get(URL).text


def test_a_model_for_others_does_not_exist(max_: Client, cast: Cast, eye: Model) -> None:
    control.model_set_visibility(actor=None, model=eye, organizations=[cast.rival])
    assert max_.get(URL).status_code == 404
    assert max_.get("/o/acme/models/acme/eye-latest/").status_code == 404
    assert "acme/eye" not in max_.get("/o/acme/models/").text


def test_a_model_that_is_not_offered_has_no_page(max_: Client, eye: Model) -> None:
    control.model_set_enabled(actor=None, model=eye, enabled=False)
    assert max_.get(URL).status_code == 404
    assert max_.get("/o/acme/models/nothing/").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=EYE-lat", True),
        ("q=acme", True),
        ("q=other", False),
        ("can=vision", True),
        ("can=tools", False),
        ("task=chat&can=vision&q=eye", True),
    ],
)
def test_models_are_found_by_what_they_are(
    max_: Client, eye: Model, query: str, found: bool
) -> None:
    page = max_.get(f"/o/acme/models/?{query}").text
    assert ("Acme/Eye" in page) is found
    assert ("No model is like this." in page) is not found


def test_each_price_stands_under_what_it_is_for(max_: Client, eye: Model, backend: Backend) -> None:
    make("ear", backend, [Task.TRANSCRIPTION])
    make("ruler", backend, [Task.EMBEDDING])
    groups = max_.get("/o/acme/models/").context["groups"]
    assert [(group.title, [str(one.label) for one in group.components]) for group in groups] == [
        ("Chat", ["Input", "Cached input", "Output"]),
        ("Transcription", ["Audio"]),
        ("Embedding", ["Input"]),
    ]
