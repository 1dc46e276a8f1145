"""The usage page and its export say the same, and say it of one organization alone."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.metering import FIELD, stream_of
from billing.usage import complete_until
from console.charts import OTHER, color_slots
from console.reports import apportion, money_places
from tenants import services
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.usage_rows import used


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


def rows(client: Client, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"/o/acme/usage.csv{query}").text)))


def chart(page: str) -> Any:
    found = re.search(r'<script id="usage-chart" type="application/json">(.*?)</script>', page)
    assert found
    return json.loads(found[1])


def test_page_chart_and_export_agree(olivia: Client, cast: Cast) -> None:
    now = timezone.now()
    used(cast.key.api_key, now, amount="1.111111111111", requests=3)
    used(cast.key.api_key, now - timedelta(days=3), amount="2.222222222222", requests=4)
    used(cast.key.api_key, now, model="llama", amount="10", requests=5)

    page = olivia.get("/o/acme/usage/").text
    lines = rows(olivia)

    assert sum(Decimal(line["amount_eur"]) for line in lines) == Decimal("13.333333333333")
    assert sum(int(line["requests"]) for line in lines) == 12
    drawn = [Decimal(value) for one in chart(page)["series"] for value in one["data"]]
    assert sum(drawn) == Decimal("13.333333333333")
    assert "€13.33" in page
    assert "€3.33" in page
    assert "€10.00" in page


def test_nothing_of_another_organization_is_counted(olivia: Client, cast: Cast) -> None:
    used(cast.rival_key.api_key, timezone.now(), amount="77")

    page = olivia.get("/o/acme/usage/").text

    assert "77.00" not in page
    assert "No requests" in page
    assert rows(olivia) == []


def test_the_export_is_exact_and_whole(olivia: Client, cast: Cast) -> None:
    now = timezone.now()
    used(cast.key.api_key, now, amount="0.000012340001", failed_requests=1, requests=2)

    assert rows(olivia) == [
        {
            "day": str(now.date()),
            "model": "gpt-oss-120b",
            "requests": "2",
            "failed_requests": "1",
            "input_tokens": "100",
            "cached_tokens": "40",
            "output_tokens": "20",
            "audio_seconds": "0",
            "amount_eur": "0.000012340001",
        }
    ]


def test_what_is_billed_by_the_second_shows_its_seconds(olivia: Client, cast: Cast) -> None:
    assert "Audio" not in olivia.get("/o/acme/usage/").text, "most use none"
    used(cast.key.api_key, timezone.now(), model="whisper", tokens=(0, 0, 0), audio_seconds=5400)

    page = olivia.get("/o/acme/usage/").text

    assert "<dt>Audio</dt>" in page
    assert '90.0 <span class="u">min</span>' in page
    assert page.count("5\u2009400 s") == 3, "the tile, the line and the total"
    assert [line["audio_seconds"] for line in rows(olivia)] == ["5400"]


def test_the_export_follows_the_groups_and_the_range(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, datetime(2026, 1, 31, 23, tzinfo=UTC))
    used(cast.key.api_key, datetime(2026, 2, 1, 0, tzinfo=UTC))

    (january,) = rows(olivia, "?from=2026-01-01&to=2026-01-31&group=project")
    (february,) = rows(olivia, "?from=2026-02-01&to=2026-02-01&group=api_key")

    assert (january["day"], january["project"]) == ("2026-01-31", "Search")
    assert february["hour"] == "2026-02-01T00:00Z"
    assert february["api_key"].startswith("Acme production (sluice_sk_")


def test_a_spreadsheet_runs_nothing_of_the_export(olivia: Client, cast: Cast) -> None:
    key = services.api_key_create(actor=None, project=cast.project, name="=HYPERLINK(1)")
    used(key.api_key, timezone.now())

    (line,) = rows(olivia, "?group=api_key")

    assert line["api_key"].startswith("'=HYPERLINK(1)")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-02-01&to=2026-01-01", "The range ends before it begins: choose a later end."),
        ("from=2020-01-01&to=2026-01-01", "A range is at most 366 days."),
        ("from=2026-01-01", "Choose both days of the range."),
        ("to=2026-01-01", "Choose both days of the range."),
        ("from=soon&to=2026-01-01", "Enter a valid date."),
        ("days=31", "Select a valid choice."),
        ("group=colour", "Select a valid choice."),
        ("measure=weight", "Select a valid choice."),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    olivia: Client, cast: Cast, query: str, message: str
) -> None:
    page = olivia.get(f"/o/acme/usage/?{query}")
    export = olivia.get(f"/o/acme/usage.csv?{query}")

    assert page.status_code == export.status_code == 422
    assert message in page.text
    assert message in export.text


def test_two_days_are_shown_by_the_hour(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, datetime(2026, 1, 2, 5, tzinfo=UTC), requests=8)

    page = olivia.get("/o/acme/usage/?from=2026-01-01&to=2026-01-02&measure=requests").text

    assert "Requests per hour" in page
    spec = chart(page)
    assert len(spec["x"]) == 48
    assert spec["series"][0]["data"][29] == 8


def test_an_empty_range_leads_to_the_last_days_with_usage(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, datetime(2026, 1, 31, 12, tzinfo=UTC))

    page = olivia.get("/o/acme/usage/?from=2026-02-01&to=2026-02-07").text

    assert "No requests from 1 Feb to 7 Feb 2026." in page
    assert "from=2026-01-02&amp;to=2026-01-31" in page


def test_more_groups_than_colours_are_drawn_as_other(olivia: Client, cast: Cast) -> None:
    for number in range(9):
        used(cast.key.api_key, timezone.now(), model=f"model-{number}", amount=str(9 - number))

    page = olivia.get("/o/acme/usage/").text

    series = chart(page)["series"]
    assert [one["label"] for one in series][-1] == "Other"
    assert len(series) == 6
    assert Decimal(series[-1]["data"][-1]) == Decimal(4 + 3 + 2 + 1)
    assert "model-8" in page


@given(st.lists(st.decimals(0, 10_000, places=12), max_size=30), st.sampled_from([2, 6]))
def test_rounded_rows_add_up_to_the_rounded_total(amounts: list[Decimal], places: int) -> None:
    rounded = apportion(amounts, places)

    total = sum(amounts, Decimal(0))
    unit = Decimal(1).scaleb(-places)
    assert abs(sum(rounded, Decimal(0)) - total) <= unit / 2
    assert all(abs(a - b) < unit for a, b in zip(amounts, rounded, strict=True))


@pytest.mark.parametrize(
    ("total", "places"), [("0", 2), ("5", 2), ("0.4", 6), ("0.0004", 9), ("0.0000001", 12)]
)
def test_small_amounts_show_the_decimals_that_say_something(total: str, places: int) -> None:
    assert money_places(Decimal(total)) == places


def test_a_category_keeps_its_colour_whatever_is_shown_beside_it() -> None:
    catalogue = ["a", "b", "c", "d", "e", "f"]

    assert color_slots(["c", "a"], catalogue) == {"a": 1, "c": 3}
    assert color_slots(["c"], catalogue) == {"c": 3}
    both = color_slots(["f", "a"], catalogue)
    assert both["a"] == 1
    assert both["f"] not in {1, OTHER}


def test_usage_is_complete_up_to_the_oldest_request_that_waits(db: None) -> None:
    assert complete_until() is not None
    waiting = datetime(2026, 1, 1, 12, tzinfo=UTC)
    valkey().xadd(stream_of(3), {FIELD: b"x"}, id=f"{int(waiting.timestamp() * 1000)}-0")

    assert complete_until() == waiting
