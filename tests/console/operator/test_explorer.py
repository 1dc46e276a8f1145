"""Usage by any two of organization, project, key, model and time."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone

from billing.models import Terms
from tests.conftest import Cast
from tests.console.reasons import reason_given
from tests.console.usage_rows import used

URL = "/operator/usage/"


@pytest.fixture
def usage(cast: Cast) -> None:
    now = timezone.now()
    for key, model, amount, requests in (
        (cast.key.api_key, "gpt-oss-120b", "3", 30),
        (cast.key.api_key, "llama", "1", 20),
        (cast.rival_key.api_key, "llama", "2", 10),
    ):
        used(key, now, model=model, amount=amount, requests=requests)


def table(response: Any) -> dict[str, list[Any]]:
    return {line.label: [*line.values, line.total] for line in response.context["found"].lines}


@pytest.mark.usefixtures("usage")
def test_usage_is_shown_by_any_two(operator: Client) -> None:
    by_model = operator.get(URL)
    assert table(by_model) == {"Acme": [3, 1, 4], "Rival": [0, 2, 2]}
    assert [column.label for column in by_model.context["found"].columns] == [
        "gpt-oss-120b",
        "llama",
    ]
    by_key = operator.get(URL, {"rows": "model", "columns": "api_key", "measure": "requests"})
    assert table(by_key) == {"gpt-oss-120b": [30, 0, 30], "llama": [20, 10, 30]}
    by_project = operator.get(URL, {"rows": "project", "columns": "organization"})
    assert table(by_project) == {"Search": [4, 0, 4], "Secret": [0, 2, 2]}


@pytest.mark.usefixtures("usage")
@pytest.mark.parametrize(("time", "count"), [("day", 7), ("hour", 168)])
def test_usage_over_time_has_a_chart_of_the_same_numbers(
    operator: Client, time: str, count: int
) -> None:
    response = operator.get(URL, {"rows": "model", "columns": time, "days": "7"})
    found = response.context["found"]

    (line,) = found.lines
    assert [*line.values, line.total] == [3, 3, 6]
    drawn = [one["data"] for one in found.chart["series"]]
    assert [sum(data) for data in drawn] == [3, 3]
    assert {len(data) for data in drawn} == {count}
    assert "explorer-chart" in response.text


@pytest.mark.usefixtures("usage")
def test_the_smallest_are_one_row_and_one_column(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.explorer.ROWS", 1)
    monkeypatch.setattr("console.explorer.SLOTS", 0)
    assert table(operator.get(URL)) == {"Acme": [4, 4], "Other": [2, 2]}


@pytest.mark.usefixtures("usage")
def test_usage_is_narrowed_to_an_organization_and_a_model(operator: Client, cast: Cast) -> None:
    reason_given(operator, cast.acme)
    narrowed = {"organization": "acme", "model": "llama"}
    assert table(operator.get(URL, narrowed)) == {"Acme": [1, 1]}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("rows=model&columns=model", "Choose two that differ"),
        ("rows=day&columns=hour", "Choose two that differ"),
        ("rows=hour&columns=model&days=30", "at most 7 days"),
        ("rows=colour", "Select a valid choice"),
        (
            "organization=nobody",
            "No organization has this short name: it stands in the address of its pages.",
        ),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    operator: Client, query: str, message: str
) -> None:
    page, file = operator.get(f"{URL}?{query}"), operator.get(f"/operator/usage.csv?{query}")
    assert page.status_code == file.status_code == 422
    assert message in page.text
    assert message in file.text


@pytest.mark.usefixtures("usage")
def test_costs_are_added_up_in_one_currency_at_a_time(operator: Client, cast: Cast) -> None:
    assert 'name="currency"' not in operator.get(URL).text
    Terms.objects.create(organization=cast.rival, currency="SEK")
    used(cast.rival_key.api_key, timezone.now(), amount="70", requests=5, currency="SEK")
    kronor = operator.get(URL, {"currency": "SEK"})
    assert table(kronor) == {"Rival": [70, 70]}
    assert "SEK\u200970.00" in kronor.text
    assert "€" not in kronor.text
    assert table(operator.get(URL)) == {"Acme": [3, 1, 4], "Rival": [0, 2, 2]}
    counted = operator.get(URL, {"measure": "requests"})
    assert table(counted) == {"Acme": [30, 20, 50], "Rival": [5, 10, 15]}
    reason_given(operator, cast.rival)
    alone = operator.get(URL, {"organization": "rival"})
    assert table(alone) == {"Rival": [70, 70]}, "it has no other currency"


@pytest.mark.usefixtures("usage")
def test_the_export_has_each_pair_with_all_its_sums(cast: Cast) -> None:
    used(cast.rival_key.api_key, timezone.now(), amount="70", currency="SEK")

    @async_to_sync
    async def read(address: str) -> str:
        browser = AsyncClient()
        await browser.aforce_login(cast.oskar)
        response: Any = await browser.get(address)
        return b"".join([part async for part in response]).decode()

    text = read("/operator/usage.csv?rows=organization&columns=model")
    lines = list(csv.DictReader(io.StringIO(text)))

    found = {(line["organization"], line["model"], line["currency"]): line["amount"]
             for line in lines}  # fmt: skip
    assert found == {
        ("Acme (acme)", "gpt-oss-120b", "EUR"): "3.000000000000",
        ("Acme (acme)", "llama", "EUR"): "1.000000000000",
        ("Rival (rival)", "llama", "EUR"): "2.000000000000",
        ("Rival (rival)", "gpt-oss-120b", "SEK"): "70.000000000000",
    }
    assert {line["input_tokens"] for line in lines} == {"100"}
