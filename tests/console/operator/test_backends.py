from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from inference import control
from inference.models import Backend, BackendState, Deployment, Model, Region
from tenants.models import AuditEntry
from tenants.sealing import unseal
from tests import fake_vllm
from tests.conftest import Cast
from tests.console.operator.conftest import checked, text_of
from tests.console.operator.live_rows import gateway_said

URL = "/operator/backends/"
ADD = f"{URL}add/"
STATE = f"{URL}lulea-gpu-01/state/"
TEST = f"{URL}lulea-gpu-01/test/"
HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def engine() -> Iterator[fake_vllm.FakeVllm]:
    with fake_vllm.running(model="tiny", api_keys=("engine-secret",)) as engine:
        yield engine


@pytest.fixture
def typed(region: Region, engine: fake_vllm.FakeVllm) -> dict[str, str]:
    """A backend that answers, as someone types it."""
    return {
        "name": "lulea-gpu-02",
        "base_url": engine.url,
        "key": "engine-secret",
        "engine": "vllm",
        "region": region.pk,
        "weight": "2",
        "model": "",
        "engine_model": "",
        "act": "add",
    }


@pytest.mark.parametrize("url", [URL, ADD, STATE])
def test_a_customer_finds_no_backends(customer: Client, backend: Backend, url: str) -> None:
    assert customer.get(url).status_code == 404
    assert customer.post(url).status_code in {404, 405}


# The list


def test_no_backends_is_an_invitation(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert "No backends yet" in page
    assert ADD in page


def test_a_backend_is_listed_with_its_live_state(
    operator: Client, backend: Backend, model: Model
) -> None:
    gateway_said(in_flight={backend: 5})
    (row,) = operator.get(URL).context["rows"]
    assert (row.word, row.kind, row.in_flight, row.models) == ("Active", "ok", 5, ["acme/tiny"])


@pytest.mark.parametrize(
    ("state", "healthy", "age_s", "word"),
    [
        (BackendState.ACTIVE, True, 2, "Active"),
        (BackendState.ACTIVE, False, 2, "Not answering"),
        (BackendState.ACTIVE, True, 300, "Not checked"),
        (BackendState.DRAINING, True, 2, "Draining"),
        (BackendState.DISABLED, False, 300, "Disabled"),
    ],
)
def test_the_state_of_a_backend_is_one_word(
    operator: Client, backend: Backend, state: BackendState, healthy: bool, age_s: int, word: str
) -> None:
    Backend.objects.update(state=state)
    checked(backend, healthy=healthy, age_s=age_s)
    assert operator.get(URL).context["rows"][0].word == word


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "gpu-01"}, 1),
        ({"q": "127.0.0.1"}, 1),
        ({"q": "acme/"}, 1),
        ({"q": "nothing"}, 0),
        ({"state": "active"}, 1),
        ({"state": "draining"}, 0),
        ({"state": "nonsense"}, 1),
    ],
)
def test_backends_are_filtered_by_the_address(
    operator: Client, model: Model, query: dict[str, str], found: int
) -> None:
    response = operator.get(URL, query)
    assert len(response.context["rows"]) == found
    assert found or "Show all" in text_of(response)


def test_htmx_gets_the_table_alone(operator: Client, backend: Backend) -> None:
    page = text_of(operator.get(URL, headers=HTMX))
    assert "<html" not in page
    assert 'id="backends" hx-swap-oob="outerMorph"' in page


def test_many_backends_ask_no_more(
    operator: Client, cast: Cast, region: Region, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        control.backend_register(
            actor=cast.oskar,
            name=f"gpu-{number}",
            base_url="http://127.0.0.1:9",
            engine="vllm",
            region=region,
        )
    with django_assert_max_num_queries(5):
        operator.get(URL)


# Adding


def test_a_backend_that_answers_is_added(
    operator: Client, typed: dict[str, str], engine: fake_vllm.FakeVllm
) -> None:
    response = operator.post(ADD, typed)
    assert response["Location"] == f"{URL}lulea-gpu-02/"
    added = Backend.objects.get(name="lulea-gpu-02")
    assert (added.base_url, added.weight, added.state) == (engine.url, 2, "active")
    assert unseal(bytes(added.sealed_key)) == "engine-secret"
    assert AuditEntry.objects.filter(action="backend.register").exists()


def test_the_only_model_of_an_engine_is_deployed_without_being_named(
    operator: Client, typed: dict[str, str], model: Model
) -> None:
    operator.post(ADD, typed | {"model": str(model.pk)})
    deployment = Deployment.objects.get(backend__name="lulea-gpu-02")
    assert (deployment.model, deployment.engine_model) == (model, "tiny")


def test_a_test_says_what_the_engine_serves_and_saves_nothing(
    operator: Client, typed: dict[str, str]
) -> None:
    response = operator.post(ADD, typed | {"act": "test"})
    assert response.status_code == 200
    assert 'It serves: <span class="mono">tiny' in text_of(response)
    assert not Backend.objects.exists()


def test_an_engine_that_is_away_is_not_added_and_nothing_typed_is_lost(
    operator: Client, typed: dict[str, str]
) -> None:
    response = operator.post(ADD, typed | {"base_url": "http://127.0.0.1:9"})
    page = text_of(response)
    assert response.status_code == 422
    assert "The engine does not answer.</span> Could not connect. Nothing is saved." in page
    assert "Save anyway" in page
    for value in ("lulea-gpu-02", "http://127.0.0.1:9", "engine-secret", 'value="2"'):
        assert value in page
    assert "no-store" in response["Cache-Control"]
    assert not Backend.objects.exists()


def test_an_engine_that_is_away_can_be_added_anyway(
    operator: Client, typed: dict[str, str], model: Model
) -> None:
    away = {"base_url": "http://127.0.0.1:9", "model": str(model.pk), "act": "anyway"}
    assert operator.post(ADD, typed | away).status_code == 302
    assert Deployment.objects.get(backend__name="lulea-gpu-02").engine_model == "acme/tiny"


def test_a_wrong_key_is_said_to_be_wrong(operator: Client, typed: dict[str, str]) -> None:
    page = text_of(operator.post(ADD, typed | {"key": "wrong"}))
    assert "The engine refused our key." in page


def test_a_model_that_the_engine_lacks_is_refused_at_its_field(
    operator: Client, typed: dict[str, str], model: Model
) -> None:
    response = operator.post(ADD, typed | {"model": str(model.pk), "engine_model": "big"})
    assert response.status_code == 422
    assert response.context["form"].errors == {"engine_model": ["The engine serves: tiny."]}
    assert not Deployment.objects.filter(backend__name="lulea-gpu-02").exists()


@pytest.mark.parametrize(
    ("base_url", "error"),
    [
        ("", "This field is required."),
        ("10.0.0.5:8000", "Start with http:// or https://."),
        ("ftp://engine", "Start with http:// or https://."),
        ("http://", "Name a host: http://host:port."),
        ("http://:8000", "Name a host: http://host:port."),
        ("http://an engine", "Name a host: http://host:port."),
        ("http://engine:port", "This is not a URL. Write http://host:port."),
        ("http://[::1", "This is not a URL. Write http://host:port."),
        ("http://u:p@engine", "No user or password in the URL: use the field for the key."),
        ("http://engine/v1", "Only scheme, host and port, nothing after: Sluice adds /v1."),
        ("http://engine?x=1", "Only scheme, host and port, nothing after: Sluice adds /v1."),
        ("http://engine#x", "Only scheme, host and port, nothing after: Sluice adds /v1."),
    ],
)
def test_a_url_that_is_none_is_refused_with_what_to_write(
    operator: Client, typed: dict[str, str], base_url: str, error: str
) -> None:
    response = operator.post(ADD, typed | {"base_url": base_url})
    assert response.status_code == 422
    assert response.context["form"].errors["base_url"] == [error]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "two words"),
        ("name", "lulea-gpu-01"),
        ("name", "add"),
        ("weight", "0"),
        ("weight", "101"),
        ("weight", "one"),
        ("engine", "steam"),
        ("region", "nowhere"),
        ("model", "no-uuid"),
    ],
)
def test_a_field_that_is_wrong_says_so_itself(
    operator: Client, backend: Backend, typed: dict[str, str], field: str, value: str
) -> None:
    response = operator.post(ADD, typed | {field: value, "act": "anyway"})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    assert Backend.objects.count() == 1


# Testing


def test_a_test_shows_what_the_engine_answers(
    operator: Client, backend: Backend, model: Model, engine: fake_vllm.FakeVllm
) -> None:
    Backend.objects.update(base_url=engine.url)
    page = text_of(operator.post(TEST, headers=HTMX))
    assert "<html" not in page
    assert "Answered in" in page
    assert "Served" in page


def test_a_test_shows_why_there_is_no_answer(operator: Client, backend: Backend) -> None:
    page = text_of(operator.post(TEST))
    assert "Could not connect." in page
    assert "engine-secret" not in page


def test_a_test_is_posted(operator: Client, backend: Backend) -> None:
    assert operator.get(TEST).status_code == 405
    assert operator.post(f"{URL}nothing/test/").status_code == 404


# State


def test_before_a_backend_is_taken_out_its_blast_radius_is_shown(
    operator: Client, backend: Backend, model: Model
) -> None:
    gateway_said(in_flight={backend: 5})
    page = text_of(operator.get(STATE, {"to": "disabled"}, headers=HTMX))
    assert "Disable lulea-gpu-01" in page
    assert "In flight now</dt><dd>5</dd>" in page
    assert "acme/tiny</span> has no other backend: every request for it will get 503." in page
    backend.refresh_from_db()
    assert backend.state == "active", "looking changes nothing"


@pytest.mark.parametrize(("healthy", "stranded"), [(True, []), (False, ["acme/tiny"])])
def test_a_model_with_another_healthy_backend_is_not_stranded(
    operator: Client, cast: Cast, region: Region, model: Model, healthy: bool, stranded: list[str]
) -> None:
    other = control.backend_register(
        actor=cast.oskar, name="other", base_url="http://127.0.0.1:9", engine="vllm", region=region
    )
    checked(other, healthy=healthy)
    control.model_deploy(actor=cast.oskar, model=model, backend=other, engine_model="tiny")
    assert operator.get(STATE, {"to": "draining"}).context["blast"].stranded == stranded


@pytest.mark.parametrize("state", BackendState.values)
def test_a_state_is_set_and_audited(operator: Client, backend: Backend, state: str) -> None:
    response = operator.post(STATE, {"to": state})
    assert response["Location"] == f"{URL}lulea-gpu-01/"
    backend.refresh_from_db()
    assert backend.state == state
    entry = AuditEntry.objects.filter(action="backend.set_state").latest("id")
    assert entry.data == {"before": "active", "after": state}


@pytest.mark.parametrize("data", [{}, {"to": "on fire"}])
def test_a_state_that_is_none_changes_nothing(
    operator: Client, backend: Backend, data: dict[str, str]
) -> None:
    assert operator.post(STATE, data).status_code == 422
    backend.refresh_from_db()
    assert backend.state == "active"
