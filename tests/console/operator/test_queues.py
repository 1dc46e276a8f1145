"""Who waits for which model."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from console.templatetags.ui import seconds
from console.views.operator import queues
from inference import control
from inference.live import LoadSeen
from inference.models import Backend, BackendState, Model, Region
from tenants import services
from tenants.models import Organization
from tests.conftest import Cast
from tests.console.operator.conftest import text_of
from tests.console.operator.live_rows import breaker_said, checks_said, gateway_said, queue

URL = "/operator/queues/"
HTMX = {"HX-Request": "true"}


def model_row(response: Any) -> queues.ModelRow:
    (row,) = response.context["queues"].models
    assert isinstance(row, queues.ModelRow)
    return row


def test_a_customer_finds_no_queues(customer: Client) -> None:
    assert customer.get(URL).status_code == 404


def test_an_empty_platform_says_what_a_queue_is(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert (
        "Nobody waits. A request waits here only while every backend of its model is full" in page
    )
    assert "No model is offered yet." in page


def test_who_waits_longest_is_first(operator: Client, cast: Cast, model: Model) -> None:
    gateway_said(
        queue(cast.acme, waiting=40, oldest_s=2.41, in_flight=8, share=1),
        queue(cast.rival, waiting=2, oldest_s=12.6, in_flight=0, share=4),
    )
    response = operator.get(URL)
    rows = response.context["queues"].rows
    assert [row.organization.name for row in rows] == ["Rival", "Acme"]
    page = text_of(response)
    for text in ('Waiting</dt><dd><span class="big">42<', "13 s", "2.4 s", '<td class="n">40</td>'):
        assert text in page


def test_the_queues_of_all_gateways_are_one(operator: Client, cast: Cast, model: Model) -> None:
    gateway_said(queue(cast.acme, waiting=3, oldest_s=1.0, in_flight=4))
    gateway_said(queue(cast.acme, waiting=5, oldest_s=4.0, in_flight=1), name="b")
    ((seen,),) = [[row.seen for row in operator.get(URL).context["queues"].rows]]
    assert (seen.waiting, seen.oldest_s, seen.in_flight) == (8, 4.0, 5)


def test_an_organization_that_only_runs_waits_for_nothing(
    operator: Client, cast: Cast, model: Model
) -> None:
    gateway_said(queue(cast.acme, waiting=0, oldest_s=0, in_flight=7))
    response = operator.get(URL)
    assert response.context["queues"].waiting_organizations == 0
    assert '<td class="n">0</td> <td class="n">–</td>' in text_of(response)


def test_a_queue_of_an_organization_that_is_gone_is_left_out(
    operator: Client, cast: Cast, model: Model
) -> None:
    gone = Organization(name="Gone")
    gateway_said(queue(gone), queue(cast.acme))
    assert len(operator.get(URL).context["queues"].rows) == 1


@pytest.mark.parametrize(
    ("load", "in_flight", "saturation", "with_room"),
    [
        (None, 0, 0, 1),
        (None, 64, 0.25, 1),
        (None, 256, 1, 0),
        ({"waiting": 4}, 64, 0.8, 1),
        ({"waiting": 6}, 0, 1.2, 0),
        ({"kv_use": 0.4}, 64, 0.5, 1),
        ({"kv_use": 0.8, "waiting": 1}, 0, 1, 0),
    ],
)
def test_a_model_is_as_full_as_its_backend_with_most_room(
    operator: Client,
    backend: Backend,
    model: Model,
    load: dict[str, Any] | None,
    in_flight: int,
    saturation: float,
    with_room: int,
) -> None:
    seen = LoadSeen(backend.created_at, **load) if load else None
    checks_said(backend, True, load=seen)
    gateway_said(in_flight={backend: in_flight})
    row = model_row(operator.get(URL))
    assert row.saturation == pytest.approx(saturation)
    assert row.with_room == with_room


@pytest.mark.parametrize("how", ["down", "breaker", "drained"])
def test_a_backend_that_takes_no_work_has_no_room(
    operator: Client, cast: Cast, backend: Backend, model: Model, how: str
) -> None:
    if how == "down":
        checks_said(backend, False, is_down=True)
    elif how == "breaker":
        breaker_said(backend, "open", backend.created_at, None)
    else:
        control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DRAINING)
    response = operator.get(URL)
    assert model_row(response).saturation is None
    assert ("No backend" if how == "drained" else "0 of 1") in text_of(response)
    assert response.context["queues"].full == 1


def test_htmx_gets_the_live_parts_alone_every_two_seconds(operator: Client) -> None:
    page = text_of(operator.get(URL, headers=HTMX))
    assert "<html" not in page
    for part in ("asof", "figures", "who", "models"):
        assert f'id="{part}" hx-swap-oob="outerMorph"' in page
    assert 'hx-trigger="every 2s"' in text_of(operator.get(URL))


def test_more_of_everything_asks_no_more(
    operator: Client, cast: Cast, model: Model, region: Region, django_assert_max_num_queries: Any
) -> None:
    waiting = []
    for number in range(8):
        made = services.organization_create(actor=cast.oskar, name="O", slug=f"o-{number}")
        waiting.append(queue(made))
        one = control.backend_register(
            actor=cast.oskar, name=f"b-{number}", base_url="http://127.0.0.1:9", engine="vllm",
            region=region,
        )  # fmt: skip
        control.model_deploy(actor=cast.oskar, model=model, backend=one, engine_model="tiny")
    gateway_said(*waiting)
    with django_assert_max_num_queries(5):
        response = operator.get(URL)
    assert len(response.context["queues"].rows) == 8
    assert len(model_row(response).saturations) == 9


def test_a_long_list_ends_with_how_many_more(
    operator: Client, cast: Cast, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "SHOWN", 1)
    gateway_said(queue(cast.acme), queue(cast.rival))
    page = text_of(operator.get(URL))
    assert page.count("<td>acme/tiny</td>") == 1
    assert "and 1 more" in page


@pytest.mark.parametrize(
    ("length", "text"), [(0, "0.0 s"), (2.41, "2.4 s"), (9.96, "10.0 s"), (31.4, "31 s")]
)
def test_seconds_are_as_exact_as_they_are_short(length: float, text: str) -> None:
    assert seconds(length) == text.replace(" ", "\u2009")
