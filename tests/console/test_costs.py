"""The cost explorer: what was spent, what it will be, and what it was before, all from rollups."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from billing.models import Terms
from console.costs import CostSpan
from tests.conftest import Cast
from tests.console.usage_rows import used
from tests.console.words import words_of

URL = "/o/acme/billing/costs/"
NOW = datetime(2026, 11, 16, 0, tzinfo=UTC)
"""Half of a month of 30 days is over."""


@pytest.fixture(autouse=True)
def _now() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


def spent(cast: Cast, day: tuple[int, int], amount: str, **facts: Any) -> None:
    month, of_month = day
    used(cast.key.api_key, datetime(2026, month, of_month, 12, tzinfo=UTC), amount=amount, **facts)


def rows(client: Client, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/o/acme/billing/costs.csv{query}").text)))


def chart(page: str, name: str) -> Any:
    found = re.search(rf'<script id="{name}" type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_a_month_is_shown_with_its_forecast_and_the_month_before(
    olivia: Client, cast: Cast
) -> None:
    spent(cast, (11, 2), "20")
    spent(cast, (11, 10), "10", model="llama")
    spent(cast, (10, 5), "24")
    spent(cast, (10, 28), "100")

    page = olivia.get(URL)

    said = words_of(page)
    assert "Cost €30.00" in said
    assert "By the end €60.00" in said
    assert "Oct 2026 €124.00 €24.00 in its first 16 days" in said
    assert "Change +25.0" in said
    drawn = chart(page.text, "cumulative")["series"]
    assert [one["label"] for one in drawn] == ["1 – 16 Nov 2026", "Oct 2026", "Forecast"]
    assert [Decimal(value) for value in drawn[0]["data"][:16]][-1] == 30
    assert drawn[0]["data"][16:] == [None] * 14
    assert Decimal(drawn[2]["data"][-1]) == 60
    assert drawn[2]["dash"]


def test_the_csv_has_both_spans_to_the_last_decimal(olivia: Client, cast: Cast) -> None:
    spent(cast, (11, 2), "0.000000000001")
    spent(cast, (10, 28), "7")

    this, before = rows(olivia, "?group=project")

    assert (this["span"], this["day"], this["project"]) == ("this", "2026-11-02T00:00Z", "Search")
    assert this["amount_eur"] == "0.000000000001"
    assert (before["span"], before["amount_eur"]) == ("before", "7.000000000000")


def test_last_month_stands_beside_the_one_before_it_and_foresees_nothing(
    olivia: Client, cast: Cast
) -> None:
    spent(cast, (10, 31), "31")
    spent(cast, (9, 30), "30")

    page = olivia.get(f"{URL}?span=last")

    said = words_of(page)
    assert "Oct 2026, UTC" in said
    assert "By the end –" in said
    assert "Sep 2026 €30.00" in said


def test_days_of_ones_own_stand_beside_as_many_before(olivia: Client, cast: Cast) -> None:
    spent(cast, (11, 3), "3")
    spent(cast, (10, 31), "1")
    spent(cast, (10, 28), "99")

    found = rows(olivia, "?from=2026-11-01&to=2026-11-04")

    assert [(row["span"], Decimal(row["amount_eur"])) for row in found] == [
        ("this", Decimal(3)), ("before", Decimal(99)), ("before", Decimal(1)),
    ]  # fmt: skip


def test_without_usage_the_page_says_what_will_be_here(olivia: Client, cast: Cast) -> None:
    said = words_of(olivia.get(URL))

    assert "Nothing was spent" in said
    assert "Cost €0.00" in said


def test_nothing_of_another_organization_is_counted(olivia: Client, cast: Cast) -> None:
    used(cast.rival_key.api_key, NOW, amount="77")

    assert "77.00" not in olivia.get(URL).text
    assert rows(olivia) == []


def test_amounts_are_in_the_currency_of_the_organization(olivia: Client, cast: Cast) -> None:
    Terms.objects.create(organization=cast.acme, currency="SEK")
    spent(cast, (11, 2), "1234.5")

    page = olivia.get(URL)

    assert "SEK\u20091\u2009234.50" in page.text
    assert "€" not in page.text
    assert chart(page.text, "cumulative")["sign"] == "SEK\u2009"
    assert rows(olivia)[0]["amount_sek"] == "1234.500000000000"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-02-01&to=2026-01-01", "The range ends before it begins: choose a later end."),
        ("span=year", "Select a valid choice."),
        ("group=colour", "Select a valid choice."),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    olivia: Client, cast: Cast, query: str, message: str
) -> None:
    page = olivia.get(f"{URL}?{query}")

    assert page.status_code == olivia.get(f"/o/acme/billing/costs.csv?{query}").status_code == 422
    assert message in page.text
    assert "Shown is this month." in page.text


def test_the_page_asks_as_little_for_much_as_for_nothing(
    olivia: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for day in range(1, 16):
        for model in ("one", "two", "three"):
            spent(cast, (11, day), "1", model=model)

    with django_assert_max_num_queries(9):
        olivia.get(URL)


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)))
def test_a_month_begins_where_the_one_before_it_ends(day: date) -> None:
    span = CostSpan.of_month(day)

    assert span.whole.first <= day <= span.whole.last
    assert span.whole.first.day == span.before.first.day == 1
    assert (span.whole.first - span.before.last).days == 1
    assert CostSpan.of_month(span.before.first).whole == span.before
