"""The page of one backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
import time_machine
from django.test import Client
from django.utils import timezone

from inference import control
from inference.live import LoadSeen
from inference.live.seen import BACKENDS
from inference.models import Backend, BackendState, Model, Region, Task
from tenants.models import AuditEntry
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.operator.conftest import text_of
from tests.console.operator.live_rows import (
    breaker_said,
    checks_said,
    gateway_said,
    served,
    turned,
)

URL = "/operator/backends/lulea-gpu-01/"
EDIT = f"{URL}edit/"
HTMX = {"HX-Request": "true"}
NOON = datetime(2026, 3, 1, 12, 30, 30, tzinfo=UTC)


def fail(*args: object, **kwargs: object) -> None:
    raise redis.ConnectionError


def figures(response: Any) -> dict[str, str]:
    return {trend.label: trend.figure.replace("\u2009", " ") for trend in trends(response)}


def trends(response: Any) -> Any:
    return response.context["figures"].trends


@pytest.mark.parametrize("url", [URL, EDIT])
def test_a_customer_finds_no_backend(customer: Client, backend: Backend, url: str) -> None:
    assert customer.get(url).status_code == 404
    assert customer.post(url).status_code in {404, 405}


def test_a_backend_that_is_none_is_not_found(operator: Client) -> None:
    assert operator.get(URL).status_code == 404


# The page


def test_a_backend_that_no_gateway_saw_says_so_and_shows_no_zeros(
    operator: Client, backend: Backend
) -> None:
    valkey().delete(BACKENDS)
    page = text_of(operator.get(URL))
    for text in (
        "Nothing live is known of it.", "either no gateway runs", "No check yet.",
        "No model is deployed on it.", "The engine tells nothing",
    ):  # fmt: skip
        assert text.lower() in page.lower()


@time_machine.travel(NOON, tick=False)
def test_the_figures_are_of_now_and_the_lines_of_the_range(
    operator: Client, backend: Backend
) -> None:
    load = LoadSeen(NOON, running=4, waiting=2, kv_use=0.284)
    checks_said(backend, True, load=load)
    gateway_said(in_flight={backend: 5})
    gateway_said(name="b", in_flight={backend: 1})
    served(backend, NOON, requests=6, errors=1, ttft_ms=90, in_flight=9, waiting=3, kv_use=0.3,
           prefix_queries=1000, prefix_hits=630)  # fmt: skip
    served(backend, NOON - timedelta(minutes=3), requests=2, errors=1)
    served(backend, NOON - timedelta(minutes=50), requests=10, ttft_ms=400, in_flight=54)
    response = operator.get(URL)
    assert figures(response) == {
        "In flight": "6", "Waiting at the engine": "2", "KV cache in use": "28.4 %",
        "Prefix cache hits": "63.0 %", "Errors": "25.0 %", "First token, p95": "100 ms",
    }  # fmt: skip
    in_flight, waiting, kv, prefix, errors, ttft = (trend.values for trend in trends(response))
    assert (in_flight[-1], in_flight[-51], in_flight[-2]) == (9, 54, None)
    assert (waiting[-1], kv[-1], prefix[-1], ttft[-51]) == (3, 30, 63, 400)
    assert (errors[-4], errors[-51], errors[-2]) == (50, 0, None)


@time_machine.travel(NOON, tick=False)
@pytest.mark.parametrize(
    ("range_", "steps", "places"),
    [("1h", 60, (-1, -31)), ("6h", 72, (-1, -7)), ("24h", 72, (-1, -2)), ("no", 60, (-1, -31))],
)
def test_the_range_is_in_the_address(
    operator: Client, backend: Backend, range_: str, steps: int, places: tuple[int, int]
) -> None:
    served(backend, NOON, in_flight=9)
    served(backend, NOON - timedelta(minutes=30), in_flight=7)
    served(backend, NOON - timedelta(minutes=29, seconds=30), in_flight=6)
    response = operator.get(URL, {"range": range_})
    values = trends(response)[0].values
    assert len(values) == steps
    assert [values[place] for place in places] == [9, 7]


@time_machine.travel(NOON, tick=False)
def test_the_table_has_the_numbers_of_the_lines(operator: Client, backend: Backend) -> None:
    served(backend, NOON, requests=6, errors=1, ttft_ms=90, in_flight=1234, kv_use=0.3)
    page = text_of(operator.get(URL))
    assert page.count('<tr><td class="nw">1 Mar') >= 60
    row = "1 Mar 12:30</td>" + "".join(
        f'<td class="n">{text}</td>' for text in ("1 234", "–", "30.0 %", "–", "16.7 %", "100 ms")
    )
    assert row in page


def test_checks_are_shown_with_what_failed(operator: Client, backend: Backend) -> None:
    checks_said(backend, False, False, True, is_down=True)
    page = text_of(operator.get(URL))
    assert 'aria-label="1 good, 2 failed"' in page
    assert page.count("Could not connect.") == 3, "in the note, and twice in the table"


def test_a_backend_that_is_out_says_what_that_means_for_customers(
    operator: Client, cast: Cast, region: Region, backend: Backend, model: Model
) -> None:
    assert "It is out." not in text_of(operator.get(URL))
    breaker_said(backend, "open", timezone.now(), None)
    alone = "</span> acme/tiny has no other backend: its requests fail."
    page = text_of(operator.get(URL))
    assert alone in page
    assert "Not routed" in page
    other = control.backend_register(
        actor=cast.oskar, name="other", base_url="http://127.0.0.1:9", engine="vllm", region=region
    )
    control.model_deploy(actor=cast.oskar, model=model, backend=other, engine_model="tiny")
    assert "Other backends answer for its models." in text_of(operator.get(URL))


def test_a_deployment_that_the_engine_does_not_name_is_marked(
    operator: Client, cast: Cast, backend: Backend, model: Model
) -> None:
    checks_said(backend, True)
    assert "The engine does not name it" not in text_of(operator.get(URL))
    control.deployment_update(
        actor=cast.oskar, deployment=model.deployments.get(), engine_model="huge"
    )
    assert "The engine does not name it" in text_of(operator.get(URL))


@pytest.mark.parametrize("phase", ["open", "half_open"])
def test_an_open_breaker_is_seen_on_every_list(
    operator: Client, backend: Backend, model: Model, phase: str
) -> None:
    breaker_said(backend, phase, timezone.now(), None)
    for url in (URL, "/operator/backends/", "/operator/deployments/", "/operator/"):
        assert "Breaker open" in text_of(operator.get(url))
    page = text_of(operator.get("/operator/"))
    assert "lulea-gpu-01 fails too often: its breaker is open." in page
    assert "1 breaker open" in page
    assert f'<a href="{URL}">Open backend</a>' in page


@time_machine.travel(NOON, tick=False)
@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("open", "Since 12:30:20, next trial in 14 s."),
        ("half_open", "Half open since 12:30:20: one request tries it."),
        ("closed", "Breaker closed at 12:30:20, full share in 20 s."),
    ],
)
def test_the_breaker_is_told_beside_the_name(
    operator: Client, backend: Backend, phase: str, said: str
) -> None:
    breaker_said(backend, phase, NOON - timedelta(seconds=10), NOON + timedelta(seconds=14))
    assert said in text_of(operator.get(URL))


def test_the_timeline_tells_what_gateways_saw_and_what_people_did(
    operator: Client, cast: Cast, backend: Backend
) -> None:
    now = timezone.now()
    turned(backend, now - timedelta(minutes=9), "open", "5 failures in a row")
    turned(backend, now - timedelta(minutes=8), "half_open")
    turned(backend, now - timedelta(minutes=7), "closed")
    control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DRAINING)
    control.backend_update(actor=cast.oskar, backend=backend, weight=7)
    response = operator.get(URL)
    assert [event.what for event in response.context["events"]] == [
        "Backend changed: weight 1 → 7",
        "Drained: no new requests, what runs goes on",
        "Backend added",
        "Breaker closed: it takes work, soon its full share",
        "Half open: one request is let through as a trial",
        "Breaker opened: requests go elsewhere",
    ]
    page = text_of(response)
    for text in ("5 failures in a row · host:1", "Oskar Lund", "Out 1 min", "Coming back 1 min"):
        assert text in page


def test_a_draining_backend_counts_what_still_runs_down_to_drained(
    operator: Client, cast: Cast, backend: Backend
) -> None:
    control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DRAINING)
    gateway_said(in_flight={backend: 3})
    page = text_of(operator.get(URL))
    assert "3 requests still run." in page
    assert "Take back" in page
    gateway_said(in_flight={backend: 1})
    assert "1 request still runs." in text_of(operator.get(URL))
    checks_said(backend, True)
    gateway_said()
    page = text_of(operator.get(URL))
    assert "Drained</span> · Nothing runs on it any more: it can be stopped." in page


def test_htmx_gets_the_live_parts_alone(operator: Client, backend: Backend) -> None:
    page = text_of(operator.get(URL, headers=HTMX))
    assert "<html" not in page
    for part in ("standing", "switch", "notice", "trends", "figures", "timeline", "checks"):
        assert f'id="{part}" hx-swap-oob="outerMorph"' in page


def test_more_deployments_and_more_history_ask_no_more(
    operator: Client, cast: Cast, backend: Backend, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        made = control.model_create(
            actor=cast.oskar, public_id=f"m-{number}", name="M", tasks=[Task.CHAT],
            context_tokens=1, owned_by="Acme",
        )  # fmt: skip
        control.model_deploy(actor=cast.oskar, model=made, backend=backend, engine_model="m")
        control.backend_update(actor=cast.oskar, backend=backend, weight=number + 2)
    with django_assert_max_num_queries(7):
        assert operator.get(URL).status_code == 200


def test_without_valkey_the_page_stands(
    operator: Client, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(valkey().connection_pool, "get_connection", fail)
        page = text_of(operator.get(URL))
    assert "Nothing live is known of it." in page


# Changing it


def test_weight_and_most_in_flight_are_changed_and_on_record(
    operator: Client, backend: Backend
) -> None:
    assert "256" in text_of(operator.get(EDIT, headers=HTMX))
    response = operator.post(EDIT, {"weight": "3", "max_in_flight": "64"})
    assert response["Location"] == URL
    backend.refresh_from_db()
    assert (backend.weight, backend.max_in_flight) == (3, 64)
    entry = AuditEntry.objects.get(action="backend.update")
    assert entry.data["changes"] == {"weight": [1, 3], "max_in_flight": [256, 64]}
    page = text_of(operator.get(URL))
    assert "Saved." in page
    assert "max in flight 256 → 64" in page


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weight", "0"), ("weight", "101"), ("weight", ""), ("weight", "1.5"), ("weight", "a lot"),
        ("max_in_flight", "0"), ("max_in_flight", "100001"), ("max_in_flight", ""),
    ],
)  # fmt: skip
def test_a_number_out_of_bounds_is_refused_at_its_field(
    operator: Client, backend: Backend, field: str, value: str
) -> None:
    response = operator.post(EDIT, {"weight": "3", "max_in_flight": "64"} | {field: value})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [field]
    backend.refresh_from_db()
    assert (backend.weight, backend.max_in_flight) == (1, 256)


def test_an_empty_form_is_refused(operator: Client, backend: Backend) -> None:
    assert operator.post(EDIT, {}).status_code == 422
