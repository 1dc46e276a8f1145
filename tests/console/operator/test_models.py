from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Component, Rate
from console.model_forms import RateForm
from inference import control
from inference.models import Backend, Model, Task
from tenants.models import AuditEntry
from tests.conftest import Cast
from tests.console.operator.conftest import Book, checked, text_of

URL = "/operator/models/"
RATES = f"{URL}acme/tiny/rates/"
ENABLED = f"{URL}acme/tiny/enabled/"


@pytest.fixture
def unpriced(cast: Cast) -> Model:
    return control.model_create(
        actor=cast.oskar,
        public_id="new",
        name="New",
        tasks=[Task.CHAT, Task.COMPLETION],
        context_tokens=8192,
        owned_by="Acme",
    )


@pytest.mark.parametrize("url", [URL, RATES, ENABLED])
def test_a_customer_finds_no_operator_models(customer: Client, model: Model, url: str) -> None:
    assert customer.get(url).status_code == 404
    assert customer.post(url).status_code in {404, 405}


# The list


def test_no_models_is_explained(operator: Client) -> None:
    assert "No models yet." in text_of(operator.get(URL))


def test_a_model_is_listed_with_prices_health_and_requests(
    operator: Client, cast: Cast, model: Model, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=2, requests=1234)
    book(cast.key.api_key, hours_ago=30, requests=999)
    response = operator.get(URL)
    page = text_of(response)
    (row,) = response.context["rows"]
    assert (row.word, row.healthy, row.deployments, row.requests) == ("Enabled", 1, 1, 1234)
    assert page.count("€0.25") == 3


def test_the_state_of_a_model_is_one_word(
    operator: Client, backend: Backend, model: Model, unpriced: Model
) -> None:
    checked(backend, healthy=False)
    assert [row.word for row in operator.get(URL).context["rows"]] == ["No backend", "Disabled"]
    Rate.objects.filter(component=Component.OUTPUT).delete()
    assert operator.get(URL).context["rows"][0].word == "No price"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"q": "TINY"}, ["acme/tiny"]),
        ({"q": "none"}, []),
        ({"state": "enabled"}, ["acme/tiny"]),
        ({"state": "disabled"}, ["new"]),
        ({"state": "?"}, ["acme/tiny", "new"]),
    ],
)
def test_models_are_filtered_by_the_address(
    operator: Client, model: Model, unpriced: Model, query: dict[str, str], found: list[str]
) -> None:
    rows = operator.get(URL, query).context["rows"]
    assert [row.model.public_id for row in rows] == found


def test_many_models_ask_no_more(
    operator: Client, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        control.model_create(
            actor=cast.oskar,
            public_id=f"m-{number}",
            name="M",
            tasks=[Task.CHAT],
            context_tokens=1,
            owned_by="Acme",
        )
    with django_assert_max_num_queries(7):
        operator.get(URL)


# Rates


def test_rates_show_what_is_valid_and_since_when(operator: Client, model: Model) -> None:
    response = operator.get(RATES)
    assert [rate.price for _label, rate in response.context["current"]] == [Decimal("0.25")] * 3
    assert text_of(response).count("Valid</span>") == 3


def test_a_rate_set_now_ends_the_one_before(operator: Client, model: Model) -> None:
    response = operator.post(RATES, {"component": "output", "price": "0.075", "valid_from": ""})
    assert response["Location"] == RATES
    old, new = Rate.objects.filter(component="output").order_by("valid")
    assert (new.price, new.valid.upper) == (Decimal("0.075"), None)
    assert old.valid.upper == new.valid.lower
    page = text_of(operator.get(RATES))
    assert "€0.075" in page
    assert "Ended" in page


def test_a_rate_of_the_future_is_scheduled_in_utc(operator: Client, model: Model) -> None:
    start = (timezone.now() + timedelta(days=9)).astimezone(UTC).replace(second=0, microsecond=0)
    typed = {"component": "input", "price": "1", "valid_from": f"{start:%Y-%m-%dT%H:%M}"}
    operator.post(RATES, typed)
    scheduled = Rate.objects.get(component="input", price=1)
    assert scheduled.valid.lower == start
    response = operator.get(RATES)
    assert response.context["current"][0][1].price == Decimal("0.25")
    assert "Scheduled" in text_of(response)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("price", "-1", "Ensure this value is greater than or equal to 0."),
        ("price", "cheap", "Enter a number."),
        ("price", "", "This field is required."),
        ("price", "0.0000001", "Ensure that there are no more than 6 decimal places."),
        ("price", "NaN", "Enter a number."),
        ("component", "free", "Select a valid choice. free is not one of the available choices."),
        ("valid_from", "soon", "Enter a valid date/time."),
        ("valid_from", "2020-01-01T00:00", "This has passed. Leave it empty to start now."),
    ],
)
def test_a_rate_that_is_wrong_is_refused_at_its_field(
    operator: Client, model: Model, field: str, value: str, error: str
) -> None:
    typed = {"component": "input", "price": "0.125", "valid_from": ""} | {field: value}
    response = operator.post(RATES, typed)
    assert response.status_code == 422
    assert response.context["form"].errors == {field: [error]}
    assert field == "price" or 'value="0.125"' in text_of(response)
    assert Rate.objects.count() == 3


def test_a_rate_before_a_scheduled_one_is_refused_in_words(operator: Client, model: Model) -> None:
    start = timezone.now() + timedelta(days=9)
    operator.post(RATES, {"component": "input", "price": "1", "valid_from": start.isoformat()})
    response = operator.post(RATES, {"component": "input", "price": "2", "valid_from": ""})
    assert response.status_code == 422
    assert response.context["form"].errors == {
        "valid_from": [
            "A rate that starts at or after this time exists already: choose a later time."
        ]
    }


def test_a_price_of_nothing_is_a_price(operator: Client, model: Model) -> None:
    operator.post(RATES, {"component": "input", "price": "0", "valid_from": ""})
    assert operator.get(RATES).context["current"][0][1].price == 0


def test_a_model_without_rates_says_what_they_are_for(operator: Client, unpriced: Model) -> None:
    page = text_of(operator.get(f"{URL}new/rates/"))
    assert "No rates yet." in page
    assert page.count("No rate: the model cannot be served") == 3


def test_rates_of_no_model_are_404(operator: Client) -> None:
    assert operator.get(f"{URL}nothing/rates/").status_code == 404


# Enabling


def test_before_a_model_is_disabled_its_users_are_counted(
    operator: Client, cast: Cast, model: Model, book: Book
) -> None:
    book(cast.key.api_key, hours_ago=1, requests=70)
    book(cast.rival_key.api_key, hours_ago=2, requests=5)
    page = text_of(operator.get(ENABLED, {"to": "disabled"}, headers={"HX-Request": "true"}))
    assert "<html" not in page
    assert "<dd>75</dd>" in page
    assert "<dd>2: Acme, Rival</dd>" in page
    model.refresh_from_db()
    assert model.is_enabled, "looking changes nothing"


@pytest.mark.parametrize(("to", "is_enabled"), [("enabled", True), ("disabled", False)])
def test_a_model_is_switched_and_audited(
    operator: Client, model: Model, to: str, is_enabled: bool
) -> None:
    assert operator.post(ENABLED, {"to": to})["Location"] == URL
    model.refresh_from_db()
    assert model.is_enabled is is_enabled
    assert AuditEntry.objects.latest("id").action == f"model.{to.removesuffix('d')}"


def test_a_model_without_rates_is_not_enabled_and_its_rates_are_shown(
    operator: Client, unpriced: Model
) -> None:
    response = operator.post(f"{URL}new/enabled/", {"to": "enabled"}, follow=True)
    assert response.redirect_chain == [(f"{URL}new/rates/", 302)]
    assert "Set a rate for every component first." in text_of(response)
    unpriced.refresh_from_db()
    assert not unpriced.is_enabled


@pytest.mark.parametrize("data", [{}, {"to": "maybe"}])
def test_a_switch_to_nothing_changes_nothing(
    operator: Client, model: Model, data: dict[str, str]
) -> None:
    assert operator.post(ENABLED, data).status_code == 422
    model.refresh_from_db()
    assert model.is_enabled


def test_a_start_is_read_as_utc(model: Model) -> None:
    form = RateForm(model, {"component": "input", "price": "1", "valid_from": "2099-07-01T12:00"})
    assert form.is_valid()
    assert form.cleaned_data["valid_from"] == datetime(2099, 7, 1, 12, tzinfo=UTC)


NEW_MODEL: dict[str, Any] = {
    "public_id": "acme/new",
    "name": "New",
    "owned_by": "Acme",
    "context_tokens": "8192",
    "tasks": ["chat"],
    "input": "0.5",
    "cached_input": "0",
    "output": "1.5",
    "enable": "on",
}


def test_a_model_is_added_priced_deployed_and_offered(operator: Client, backend: Backend) -> None:
    answer = operator.post(f"{URL}add/", NEW_MODEL | {"backend": str(backend.id)})
    assert answer.status_code == 302
    model = Model.objects.get(public_id="acme/new")
    assert model.is_enabled
    assert model.deployments.get().engine_model == "acme/new"
    prices = Rate.objects.filter(model="acme/new").values_list("component", "price")
    assert dict(prices) == {
        "input": Decimal("0.5"),
        "cached_input": Decimal(0),
        "output": Decimal("1.5"),
    }


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("public_id", "two words", "Letters, digits"),
        ("public_id", "acme/tiny", "exists already"),
        ("input", "", "required"),
        ("output", "-1", "greater than or equal to 0"),
        ("tasks", ["fly"], "not one of the available choices"),
        ("context_tokens", "many", "whole number"),
    ],
)
def test_a_bad_new_model_is_explained_and_what_was_typed_is_kept(
    operator: Client, model: Model, field: str, typed: Any, said: str
) -> None:
    answer = operator.post(f"{URL}add/", NEW_MODEL | {field: typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert 'value="8192"' in answer.content.decode() or field == "context_tokens"
    assert not Model.objects.filter(public_id="acme/new").exists()
