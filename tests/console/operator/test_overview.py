from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from billing.models import Op, OutboxItem, OutboxState, Terms
from billing.payments import outbox_add
from inference import control, live
from inference.costs import backend_cost_set
from inference.models import Backend, BackendState, Model
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.operator.conftest import Book, checked, text_of
from tests.console.operator.live_rows import gateway_said

URL = "/operator/"
NOON = datetime(2026, 3, 1, 12, 30, 30, tzinfo=UTC)


def serve(moment: datetime, **counts: int) -> None:
    """Count in the minute of `moment`, as a gateway does."""
    mapping: Any = {name.replace("ttft_", "ttft:"): count for name, count in counts.items()}
    valkey().hset(live.minute_key(moment), mapping=mapping)


@pytest.fixture
def noon(cast: Cast) -> Any:
    with time_machine.travel(NOON, tick=False):
        yield


def test_a_customer_finds_no_overview(customer: Client) -> None:
    assert customer.get(URL).status_code == 404


def test_an_empty_platform_says_what_to_add_first(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert "No backends yet" in page
    assert "/operator/backends/add/" in page
    assert "No organization has used anything in this range." in page


@pytest.mark.usefixtures("noon")
def test_the_live_tiles_show_the_last_minute_and_hour(operator: Client) -> None:
    serve(NOON, requests=30, input_tokens=3000, output_tokens=600, ttft_7=30)
    serve(NOON - timedelta(minutes=1), requests=20, input_tokens=2000, output_tokens=400)
    serve(NOON - timedelta(minutes=20), requests=50, errors=1, refused=4, ttft_12=1)
    page = text_of(operator.get(URL))
    assert '40 <span class="u">/ min' in page
    assert "100 in the last hour" in page
    assert '4 800 <span class="u">/ min' in page
    assert '<span class="nw">4 000</span> in, <span class="nw">800</span> out' in page
    assert "1.0 %" in page
    assert "1 failed, 4 refused" in page
    assert 'p50 <span class="nw">150 ms,</span>' in page


@pytest.mark.usefixtures("noon")
def test_revenue_is_of_today_and_yesterday(operator: Client, cast: Cast, book: Book) -> None:
    book(cast.key.api_key, hours_ago=1, amount="1.25", now=NOON)
    book(cast.rival_key.api_key, hours_ago=2, amount="2.25", now=NOON)
    book(cast.key.api_key, hours_ago=20, amount="7.10", now=NOON)
    book(cast.key.api_key, hours_ago=40, amount="100", now=NOON)
    page = text_of(operator.get(URL))
    assert '<span class="big">€3.50</span>' in page
    assert "€7.10</span> yesterday" in page
    assert 'Active organizations</dt><dd><span class="big">2 <span class="u">of 2' in page


@pytest.mark.usefixtures("noon")
def test_each_currency_has_sums_of_its_own(
    operator: Client, cast: Cast, book: Book, backend: Backend
) -> None:
    Terms.objects.create(organization=cast.rival, currency="SEK")
    book(cast.key.api_key, hours_ago=1, amount="12", requests=30, now=NOON)
    book(cast.rival_key.api_key, hours_ago=1, amount="70", requests=10, currency="SEK", now=NOON)
    backend_cost_set(actor=None, backend=backend, per_hour=Decimal(1), since=NOON.date())
    context = operator.get(URL).context
    today = {one.currency: one.amount for one in context["today"].revenues}
    assert today == {"EUR": 12, "SEK": 70}
    spent = [(one.name, one.currency, one.amount) for one in context["organizations"]]
    assert spent == [("Acme", "EUR", 12), ("Rival", "SEK", 70)], "SEK 70 is not more than €12"
    euros, kronor = context["margins"]
    assert (euros.revenue, kronor.revenue) == (12, 70)
    # Twelve and a half hours have passed; three quarters of the work was for EUR.
    assert round(euros.cost, 2) == Decimal("9.38")
    assert euros.margin == 12 - euros.cost
    assert (kronor.cost, kronor.margin) == (None, None)


@pytest.mark.parametrize(
    ("range_", "requests"), [("24h", 10), ("7d", 30), ("30d", 60), ("nonsense", 10)]
)
def test_the_chart_adds_up_over_its_range(
    operator: Client, cast: Cast, book: Book, model: Model, range_: str, requests: int
) -> None:
    book(cast.key.api_key, hours_ago=0, requests=10)
    book(cast.rival_key.api_key, hours_ago=3 * 24, requests=20)
    book(cast.key.api_key, model="other", hours_ago=20 * 24, requests=30)
    book(cast.key.api_key, hours_ago=40 * 24, requests=1000)
    response = operator.get(URL, {"range": range_})
    breakdown = response.context["breakdown"]
    assert breakdown.total == requests
    assert sum(sum(one["data"]) for one in breakdown.chart["series"]) == requests
    assert sum(sum(counts) for _moment, counts in breakdown.rows) == requests


@pytest.mark.usefixtures("noon")
def test_the_last_hour_is_drawn_by_the_minute_and_outcome(operator: Client) -> None:
    serve(NOON - timedelta(minutes=5), requests=10, errors=2, refused=3)
    parts = operator.get(URL, {"range": "1h"}).context["breakdown"].parts
    assert [(part.label, part.total) for part in parts] == [
        ("Answered", 5),
        ("Refused (4xx)", 3),
        ("Failed (5xx)", 2),
    ]


def test_models_past_the_fifth_are_one_part(operator: Client, cast: Cast, book: Book) -> None:
    for number in range(8):
        book(cast.key.api_key, model=f"model-{number}", requests=10 * (number + 1))
    parts = operator.get(URL).context["breakdown"].parts
    assert [part.label for part in parts] == [*(f"model-{n}" for n in (7, 6, 5, 4, 3)), "Other"]
    assert parts[-1].total == 10 + 20 + 30
    assert len({part.slot for part in parts}) == 6


def test_top_organizations_are_sorted_by_what_they_spent(
    operator: Client, cast: Cast, book: Book
) -> None:
    book(cast.key.api_key, requests=500, amount="1")
    book(cast.rival_key.api_key, requests=5, amount="9")
    organizations = operator.get(URL).context["organizations"]
    assert [(one.name, one.requests, one.amount) for one in organizations] == [
        ("Rival", 5, 9),
        ("Acme", 500, 1),
    ]


def test_nothing_wrong_is_no_notice(operator: Client, model: Model) -> None:
    assert 'class="notice' not in text_of(operator.get(URL))


def test_a_backend_that_is_down_is_the_first_thing_said(
    operator: Client, backend: Backend, model: Model
) -> None:
    checked(backend, healthy=False, error="Could not connect.")
    page = text_of(operator.get(URL))
    assert "2 things need attention" in page
    assert "acme/tiny has no backend." in page
    assert "lulea-gpu-01 does not answer.</span> Could not connect." in page
    assert page.index("things need attention") < page.index("Requests</dt>")


def test_a_single_problem_stands_alone(operator: Client, cast: Cast, backend: Backend) -> None:
    control.backend_set_state(actor=cast.oskar, backend=backend, state=BackendState.DISABLED)
    assert 'class="notice' not in text_of(operator.get(URL)), "it serves nothing"


def test_a_gateway_that_stopped_is_noticed(operator: Client, backend: Backend) -> None:
    checked(backend, healthy=True, age_s=600)
    page = text_of(operator.get(URL))
    assert "lulea-gpu-01 is not checked." in page
    assert "is a gateway running?" in page


def test_a_model_without_a_price_is_noticed(operator: Client, cast: Cast, model: Model) -> None:
    from billing.models import Rate

    Rate.objects.all().delete()
    page = text_of(operator.get(URL))
    assert "acme/tiny has no full set of rates." in page
    assert "/operator/models/acme/tiny/rates/" in page


def test_in_flight_is_the_sum_over_backends(operator: Client, backend: Backend) -> None:
    gateway_said(in_flight={backend: 3})
    gateway_said(in_flight={backend: 4}, name="b")
    page = text_of(operator.get(URL))
    assert 'In flight</dt><dd><span class="big">7</span>' in page


def test_htmx_gets_the_live_parts_alone_and_each_finds_its_place(
    operator: Client, model: Model
) -> None:
    response = operator.get(URL, headers={"HX-Request": "true"})
    page = text_of(response)
    assert "<html" not in page
    assert page.count('hx-swap-oob="outerMorph"') == 3
    assert "HX-Request" in response["Vary"]


def test_the_overview_asks_little_however_much_there_is(
    operator: Client, cast: Cast, book: Book, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        book(cast.key.api_key, model=f"model-{number}", hours_ago=number)
    with django_assert_max_num_queries(23):
        operator.get(URL, {"range": "30d"})


def test_an_overview_is_not_posted_to(operator: Client) -> None:
    assert operator.post(URL).status_code == 405
    assert timezone.is_aware(operator.get(URL).context["now"])


def test_a_card_that_was_declined_is_no_problem_of_an_operator(
    operator: Client, cast: Cast
) -> None:
    for op in (Op.CHARGE, Op.REFUND):
        item = outbox_add(cast.acme, op, f"payment:{cast.acme.pk}", {}, timezone.now())
        item.state, item.done_at = OutboxState.FAILED, timezone.now()
        item.save()
    assert "Stripe refused 1 call." in text_of(operator.get(URL))
    OutboxItem.objects.update(done_at=timezone.now() - timedelta(days=8))
    assert "Stripe refused" not in text_of(operator.get(URL))
