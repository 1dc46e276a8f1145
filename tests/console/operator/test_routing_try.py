"""What an operator is told of a request that is pasted and sent nowhere."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import simulator
from console.simulator import Headers, Trial, request_try
from inference import control
from inference.gateway.errors import GatewayError
from inference.live import LoadSeen
from inference.models import Backend, BackendState, Deployment, Model, Region, Task
from inference.routing.choice import Verdict
from tenants import services
from tenants.models import AuditEntry
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.operator.conftest import text_of
from tests.console.operator.live_rows import breaker_said, checks_said, gateway_said
from tests.console.operator.test_routing import another

URL = "/operator/routing/try/"
CHAT: dict[str, Any] = {
    "model": "acme/tiny",
    "messages": [{"role": "user", "content": "Hello, canal"}],
}
LONG = "A very long system prompt. " * 60


@pytest.fixture
def second(backend: Backend, model: Model) -> Backend:
    """Another backend of the model, beside `lulea-gpu-01`."""
    return beside(backend.region, "lulea-gpu-02", model)


def beside(region: Region, name: str, model: Model, **facts: Any) -> Backend:
    backend = control.backend_register(
        actor=None, name=name, base_url="http://127.0.0.1:9", engine="vllm", region=region, **facts
    )
    control.model_deploy(actor=None, model=model, backend=backend, engine_model="tiny")
    return backend


def tried(
    body: dict[str, Any] = CHAT, cast: Cast | None = None, headers: Headers | None = None
) -> Trial:
    organization = cast.acme if cast else None
    return request_try(organization, "", headers or Headers(), json.dumps(body))


def post(client: Client, body: Any = CHAT, **fields: str) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post(URL, {"text": text, **fields})


def words(trial: Trial) -> dict[str, str]:
    return {row.deployment.backend.name: row.word for row in trial.rows}


# The page


def test_a_customer_finds_nothing_to_try(customer: Client) -> None:
    assert customer.get(URL).status_code == 404
    assert post(customer).status_code == 404


def test_a_request_is_told_where_it_would_go_and_why(
    operator: Client, cast: Cast, backend: Backend, second: Backend
) -> None:
    gateway_said(in_flight={backend: 3})
    load = LoadSeen(timezone.now(), waiting=2, kv_use=0.375)
    checks_said(backend, True, load=load)
    page = text_of(post(operator, organization="acme"))
    assert "lulea-gpu-02 would get it.</span> It has the least to do for its weight." in page
    assert "/v1/chat/completions" in page
    assert "None: its opening is 12 bytes" in page
    assert '<td class="n">3<div class="note">of 256</div>' in page
    assert ">2</td>" in page
    assert ">37.5 %</td>" in page
    assert "No gateway was heard" not in page


def test_without_a_gateway_the_page_says_that_loads_are_not_known(
    operator: Client, model: Model
) -> None:
    valkey().flushdb()
    page = text_of(post(operator))
    assert "No gateway was heard in the last seconds." in page
    assert "lulea-gpu-01 would get it.</span> No other is ready." in page


def test_the_form_keeps_what_was_typed_and_starts_with_the_organization_asked_for(
    operator: Client, model: Model
) -> None:
    assert 'value="acme"' in operator.get(URL, {"organization": "acme"}).text
    page = post(operator, headers="X-Session-Id: 42").text
    assert "Hello, canal" in page
    assert "X-Session-Id: 42" in page


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("text", "", "This field is required."),
        ("text", "not json", "It would get 400 invalid_json: The body is not valid JSON"),
        ("text", "[1]", "It would get 400"),
        ("text", "[" * 500, "nested deeper than 64 levels"),
        ("text", "{}", "missing_required_parameter"),
        ("text", '{"model": "acme/tiny"}', "it has no messages, prompt or input"),
        ("text", '{"model": "acme/tiny", "messages": 7}', "It would get 400 invalid_value"),
        ("text", '{"model": "acme/tiny", "messages": [], "cache_salt": "x"}', "cannot be set"),
        ("text", '{"model": "none", "prompt": "x"}', "It would get 404 model_not_found"),
        ("text", '{"model": "acme/tiny", "prompt": "x"}', "model_not_supported"),
        ("text", "x" * 1_000_001, "at most 1000000 characters"),
        (
            "organization",
            "nobody",
            "No organization has this short name: it stands in the address of its pages.",
        ),
        ("headers", "just words", "Write each header on a line of its own"),
        ("path", "assistants", "Select a valid choice."),
    ],
)
def test_what_cannot_be_tried_is_said_at_its_field(
    operator: Client, model: Model, field: str, typed: str, said: str
) -> None:
    answer = operator.post(URL, {"text": json.dumps(CHAT), field: typed})
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert answer.context["trial"] is None


def test_nothing_that_is_pasted_is_kept_or_logged(
    operator: Client, second: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    before = AuditEntry.objects.count()
    caplog.set_level(logging.DEBUG)
    answer = post(operator, headers="X-Session-Id: canary-in-header")
    post(operator, {"model": "no-canary-model", "prompt": "canary"})
    assert "no-store" in answer["Cache-Control"]
    assert AuditEntry.objects.count() == before
    assert "canary" not in caplog.text
    assert not valkey().keys("*canary*")


# How a request is read


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "chat/completions"),
        (
            {"messages": [{"role": "user", "content": "x"}], "system": "y", "max_tokens": 5},
            "messages",
        ),
        ({"prompt": "x"}, "completions"),
        ({"input": "x"}, "responses"),
        ({"input": "x", "model": "reader"}, "embeddings"),
        ({"query": "x", "documents": ["y"], "model": "reader"}, "rerank"),
        ({"text_1": "x", "text_2": "y", "model": "reader"}, "score"),
    ],
)
def test_the_path_is_told_by_the_fields(model: Model, fields: dict[str, Any], path: str) -> None:
    Model.objects.update(tasks=[Task.CHAT, Task.COMPLETION])
    another("reader", tasks=[Task.EMBEDDING, Task.RERANK])
    assert tried({"model": "acme/tiny"} | fields).endpoint.path == path


def test_a_path_that_is_chosen_is_taken(model: Model) -> None:
    body = {**CHAT, "max_tokens": 5}
    assert request_try(None, "messages", Headers(), json.dumps(body)).endpoint.path == "messages"


@pytest.mark.parametrize(
    ("headers", "fields", "source", "has_key"),
    [
        ({b"x-session-id": "7"}, {"user": "u"}, "X-Session-Id,", True),
        ({b"x-claude-code-session-id": "7"}, {}, "X-Claude-Code-Session-Id,", True),
        ({}, {"prompt_cache_key": "k", "user": "u"}, "prompt_cache_key,", True),
        ({}, {"user": "u"}, "user,", True),
        (
            {},
            {"system": "s", "max_tokens": 9, "metadata": {"user_id": "u"}},
            "metadata.user_id,",
            True,
        ),
        ({}, {}, "None: its opening is 12 bytes", False),
        (
            {},
            {"messages": [{"role": "system", "content": LONG}, *CHAT["messages"]]},
            "Its opening of 1633 bytes",
            True,
        ),
    ],
)
def test_the_source_of_the_affinity_is_named_as_the_gateways_find_it(
    second: Backend,
    headers: dict[bytes, str],
    fields: dict[str, Any],
    source: str,
    has_key: bool,
) -> None:
    affinity = tried(CHAT | fields, headers=Headers(headers)).affinity
    assert affinity.source.startswith(source)
    assert (affinity.key is not None) is has_key


def test_there_is_no_affinity_where_it_is_off_or_leads_nowhere(
    backend: Backend, model: Model
) -> None:
    body = CHAT | {"user": "u"}
    assert tried(body).affinity.source.startswith("None: there are no two backends")
    beside(backend.region, "lulea-gpu-02", model)
    control.model_set_routing(actor=None, model=model, has_affinity=False)
    assert tried(body).affinity == (None, "None: this model’s policy has affinity off.")


def test_what_an_engine_keeps_nothing_of_has_no_affinity(backend: Backend, model: Model) -> None:
    reader = another("reader", tasks=[Task.EMBEDDING])
    for name in ("r-1", "r-2"):
        beside(backend.region, name, reader)
    affinity = tried({"model": "reader", "input": LONG}).affinity
    assert affinity == (None, "None: an engine keeps nothing of such a request for the next.")


def test_two_organizations_with_the_same_session_have_keys_of_their_own(
    cast: Cast, second: Backend
) -> None:
    body = CHAT | {"user": "u"}
    assert tried(body, cast).affinity.key != tried(body).affinity.key
    assert tried(body, cast).affinity.key == tried(body, cast).affinity.key


# What would become of it


def test_a_session_goes_where_the_gateways_would_send_it(backend: Backend, second: Backend) -> None:
    trials = [tried(CHAT | {"user": f"user {at}"}) for at in range(20)]
    for trial in trials:
        assert trial.chosen == trial.rows[0].deployment.backend.name
        assert trial.reason == "Requests that begin like this one go there."
        assert trial.rows[0].scored
        assert trial.rows[0].scored.place == 1
    assert {trial.chosen for trial in trials} == {"lulea-gpu-01", "lulea-gpu-02"}


def test_every_deployment_says_what_keeps_it_out(
    cast: Cast, backend: Backend, model: Model
) -> None:
    abroad = control.region_create(
        actor=None, code="de-berlin", site="Berlin", country="DE", jurisdiction="EU"
    )
    services.organization_set_regions(actor=None, organization=cast.acme, regions=["se-lulea"])
    cast.acme.refresh_from_db()
    now, later = timezone.now(), timezone.now() + timedelta(seconds=10)
    made = {
        name: beside(backend.region, name, model)
        for name in ("down", "open", "due", "trying", "full", "busy", "draining", "disabled", "off")
    }
    beside(abroad, "abroad", model)
    control.backend_update(actor=None, backend=made["full"], max_in_flight=1)
    control.backend_set_state(actor=None, backend=made["draining"], state=BackendState.DRAINING)
    control.backend_set_state(actor=None, backend=made["disabled"], state=BackendState.DISABLED)
    Deployment.objects.filter(backend=made["off"]).update(is_enabled=False)
    checks_said(made["down"], False, is_down=True)
    checks_said(made["busy"], True, load=LoadSeen(now, waiting=5))
    breaker_said(made["open"], "open", now, later)
    breaker_said(made["due"], "open", now - timedelta(seconds=20), now)
    breaker_said(made["trying"], "half_open", now, later)
    gateway_said(in_flight={made["full"]: 1})

    trial = tried(CHAT, cast)

    assert words(trial) == {
        "lulea-gpu-01": "Ready",
        "down": "Check failed",
        "open": "Breaker open",
        "due": "One request may try",
        "trying": "One request may try",
        "full": "Full",
        "busy": "Saturated",
        "draining": "Draining",
        "disabled": "Disabled",
        "off": "The deployment is off",
        "abroad": "Region not allowed",
    }
    assert trial.chosen in {"due", "trying"}
    assert trial.reason.startswith("Its breaker lets one request try")


def test_a_backend_that_comes_back_has_less_than_its_weight(
    backend: Backend, second: Backend
) -> None:
    breaker_said(second, "closed", timezone.now() - timedelta(seconds=15), None)
    weights = {
        row.deployment.backend.name: row.scored.candidate.weight
        for row in tried().rows
        if row.scored
    }
    assert weights["lulea-gpu-01"] == 1
    assert 0.4 < weights["lulea-gpu-02"] < 0.8


def test_when_all_are_full_it_would_wait(operator: Client, backend: Backend, model: Model) -> None:
    control.backend_update(actor=None, backend=backend, max_in_flight=2)
    control.model_set_routing(actor=None, model=model, queue_timeout_s=9)
    gateway_said(in_flight={backend: 2})
    page = text_of(post(operator))
    assert "It would wait." in page
    assert "After 9 s in the queue it gets 503 no_capacity." in page


def test_when_none_is_ready_the_least_bad_is_asked(backend: Backend, second: Backend) -> None:
    now = timezone.now()
    checks_said(backend, False, is_down=True)
    breaker_said(second, "open", now, now + timedelta(seconds=10))
    trial = tried()
    assert (trial.chosen, trial.reason) == (
        "lulea-gpu-02", "None is ready, and it is the least bad.",
    )  # fmt: skip


def test_out_of_the_allowed_regions_it_is_refused_and_its_fallback_named(
    operator: Client, cast: Cast, model: Model
) -> None:
    other = another("acme/small")
    control.model_set_routing(actor=None, model=model, fallback=other)
    control.region_create(
        actor=None, code="de-berlin", site="Berlin", country="DE", jurisdiction="EU"
    )
    services.organization_set_regions(actor=None, organization=cast.acme, regions=["de-berlin"])
    page = text_of(post(operator, organization="acme"))
    assert "It would get 503 region_unavailable." in page
    assert "Region not allowed" in page
    assert "acme/small, when none of these can" in page


def test_a_model_without_any_backend_is_refused(operator: Client, cast: Cast) -> None:
    another("bare")
    page = text_of(post(operator, {"model": "bare", "messages": CHAT["messages"]}))
    assert "It would get 503 no_capacity." in page
    assert "It runs nowhere yet" in page


def test_a_fallback_that_the_organization_may_not_call_is_none(cast: Cast, model: Model) -> None:
    other = another("acme/small")
    control.model_set_routing(actor=None, model=model, fallback=other)
    assert tried(CHAT, cast).fallback == "acme/small"
    control.model_set_visibility(actor=None, model=other, organizations=[cast.rival])
    assert tried(CHAT, cast).fallback == ""


def test_a_model_that_an_organization_may_not_know_of_does_not_exist(
    cast: Cast, model: Model
) -> None:
    control.model_set_visibility(actor=None, model=model, organizations=[cast.rival])
    with pytest.raises(GatewayError, match="does not exist"):
        tried(CHAT, cast)


def test_of_many_backends_only_two_are_looked_at(backend: Backend, model: Model) -> None:
    for number in range(8):
        beside(backend.region, f"gpu-{number}", model)
    assert tried().is_drawn
    assert not tried(CHAT | {"user": "u"}).is_drawn


def test_the_page_asks_as_much_for_many_backends_as_for_few(
    operator: Client, backend: Backend, model: Model, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        beside(backend.region, f"gpu-{number}", model)
    with django_assert_max_num_queries(15):
        post(operator, organization="acme")


def test_the_paths_that_can_be_chosen_take_json() -> None:
    assert "chat/completions" in simulator.PATHS
    assert not any(path.startswith("audio/") for path in simulator.PATHS)


def test_every_verdict_has_words() -> None:
    assert set(simulator._STANDINGS) == set(Verdict)
