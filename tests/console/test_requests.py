"""The request log: every request once, in both directions, and never another's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from uuid_utils.compat import uuid7

from billing.models import Component, Outcome, UsageEvent
from billing.services import rate_set
from console import request_log, request_rows
from inference.models import Region
from tenants import services
from tests.conftest import Cast
from tests.console.event_rows import ended, ended_all, event_of
from tests.console.usage_rows import used

URL = "/o/acme/requests/"
OLD = UUID("019a0000-0000-7000-8000-000000000000")


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def ids(response: Any) -> list[UUID]:
    return [event.request_id for event in response.context["page"].events]


def links(response: Any) -> dict[str, str]:
    """The ways to other pages of the log by their words."""
    found = re.findall(r'<a class="btn" href="([^"]+)">([\w ]+)</a>', response.text)
    return {word: href.replace("&amp;", "&") for href, word in found}


def walk(client: Client, address: str, *words: str) -> Iterator[list[UUID]]:
    """The pages from `address` on by the links `words`."""
    for _page in range(20):
        response = client.get(f"{URL}{address}")
        yield ids(response)
        onward = [href for word, href in links(response).items() if word in words]
        if not onward:
            return
        address = onward[0]
    raise AssertionError("the pages do not end")


def export(cast: Cast, address: str) -> list[dict[str, str]]:
    @async_to_sync
    async def read() -> str:
        browser = AsyncClient()
        await browser.aforce_login(cast.olivia)
        response: Any = await browser.get(address)
        return b"".join([part async for part in response]).decode()

    return list(csv.DictReader(io.StringIO(read())))


def test_a_request_is_listed_with_what_it_was(olivia: Client, cast: Cast, now: datetime) -> None:
    Region.objects.create(code="se-lulea", site="Luleå", country="SE", jurisdiction="EU")
    event = ended(cast.key.api_key, now - timedelta(minutes=5))

    page = olivia.get(URL).text

    assert str(event.request_id) in page
    assert "Acme production" in page
    assert "Completed" in page
    assert "Luleå, streamed" in page
    assert "240 ms" in page
    assert "400 cached" in page.replace("\u2009", " ")
    assert "lulea-gpu-01" not in page, "customers see regions, not backends"
    assert "€0.000\u2009210" in page


def test_pages_in_both_directions_hold_each_request_once_even_at_equal_times(
    olivia: Client, cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log.RequestLog.page, "__defaults__", (None, "older", 3))
    moments = [now - timedelta(minutes=5)] * 7 + [now - timedelta(minutes=6)] * 4
    ended_all([event_of(cast.key.api_key, moment, request_id=uuid4()) for moment in moments])
    everything = list(
        UsageEvent.objects.order_by("-occurred_at", "-request_id").values_list(
            "request_id", flat=True
        )
    )

    down = list(walk(olivia, "?range=24h", "Older"))
    third_last = request_log.Place(moments[-1], everything[-3])
    last = f"?range=24h&older={quote(str(third_last))}"
    up = list(walk(olivia, last, "Newer"))

    assert [id_ for page in down for id_ in page] == everything
    assert up[0] == everything[-2:]
    assert up[1] == everything[-5:-2]
    assert up[-1] == everything[:3], "the newest page is a whole one"


@pytest.mark.parametrize("scan", [3, 4, 5_000])
def test_a_filter_finds_all_that_match_however_few_it_looks_at(
    olivia: Client, cast: Cast, now: datetime, scan: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "SCAN", scan)
    events = [
        event_of(
            cast.key.api_key,
            now - timedelta(minutes=at + 1),
            outcome=Outcome.CLIENT_DISCONNECT if at in {0, 9, 17} else Outcome.COMPLETED,
        )
        for at in range(20)
    ]
    ended_all(events)
    wanted = [events[at].request_id for at in (0, 9, 17)]

    address = "?range=24h&outcome=client_disconnect"
    pages = list(walk(olivia, address, "Older", "Look further"))

    assert [id_ for page in pages for id_ in page] == wanted
    assert len(pages) <= 20 // scan + 1


def test_a_filter_by_key_goes_straight_to_the_hour_that_has_it(
    olivia: Client, cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_log, "SCAN", 2)
    rare = services.api_key_create(actor=None, project=cast.project, name="rare").api_key
    long_ago = now - timedelta(days=20)
    ended_all([event_of(cast.key.api_key, now - timedelta(hours=at)) for at in range(1, 20)])
    found = ended(rare, long_ago)
    used(rare, long_ago)

    response = olivia.get(URL, {"range": "30d", "api_key": str(rare.pk)})

    assert ids(response) == [found.request_id]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "llama"),
        ("outcome", "timeout"),
        ("project", "{other_project}"),
        ("api_key", "{other_key}"),
        ("q", "mine-1"),
    ],
)
def test_each_filter_shows_only_what_matches(
    olivia: Client, cast: Cast, now: datetime, name: str, value: str
) -> None:
    project = services.project_create(actor=None, organization=cast.acme, name="Other")
    key = services.api_key_create(actor=None, project=project, name="other").api_key
    at = now - timedelta(minutes=9)
    facts = {"model": "llama", "outcome": "timeout", "client_request_id": "mine-1"}
    other = ended(key, at, **facts)
    ended(cast.key.api_key, at)
    used(key, at, model="llama", failed_requests=1)
    used(cast.key.api_key, at)
    value = value.format(other_project=project.pk, other_key=key.pk)

    assert ids(olivia.get(URL, {name: value})) == [other.request_id]
    assert len(ids(olivia.get(URL))) == 2


@pytest.mark.parametrize(("span", "count"), [("1h", 1), ("24h", 2), ("7d", 3), ("30d", 4)])
def test_the_range_in_the_address_says_how_far_back(
    olivia: Client, cast: Cast, now: datetime, span: str, count: int
) -> None:
    for back in (timedelta(minutes=5), timedelta(hours=5), timedelta(days=5), timedelta(days=25)):
        ended(cast.key.api_key, now - back)

    assert len(ids(olivia.get(URL, {"range": span}))) == count
    day = str((now - timedelta(days=5)).date())
    assert len(ids(olivia.get(URL, {"from": day, "to": day}))) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2026-02-01&to=2026-01-01", "The range ends before it begins: choose a later end."),
        ("from=2026-02-01", "Choose both days of the range."),
        ("range=forever", "Select a valid choice."),
        (f"q={'x' * 129}", "at most 128 characters"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    olivia: Client, query: str, message: str
) -> None:
    page, file = olivia.get(f"{URL}?{query}"), olivia.get(f"/o/acme/requests.csv?{query}")

    assert page.status_code == file.status_code == 422
    assert message in page.text
    assert message in file.text


@pytest.mark.parametrize("place", ["x", "2026-01-01~x", f"now~{OLD}", f"2026-01-01~{OLD}"])
def test_a_place_that_is_none_is_the_newest_page(
    olivia: Client, cast: Cast, now: datetime, place: str
) -> None:
    event = ended(cast.key.api_key, now - timedelta(minutes=5))

    assert ids(olivia.get(URL, {"older": place})) == [event.request_id]
    assert ids(olivia.get(URL, {"newer": place})) == [event.request_id]


def test_an_id_in_the_search_opens_its_request(olivia: Client, cast: Cast, now: datetime) -> None:
    event = ended(cast.key.api_key, now - timedelta(days=80))

    response = olivia.get(URL, {"q": str(event.request_id)})

    assert response["Location"] == f"{URL}{event.request_id}/"
    assert "No request in this range has the id" in olivia.get(URL, {"q": str(uuid4())}).text


def test_an_empty_log_says_what_will_be_here_or_where_there_is_something(
    olivia: Client, cast: Cast, now: datetime
) -> None:
    assert "No requests yet." in olivia.get(URL).text
    used(cast.key.api_key, now - timedelta(days=40))
    page = olivia.get(URL).text
    assert f"from={(now - timedelta(days=40)).date()}" in page


def test_nothing_of_another_organization_is_shown(
    olivia: Client, cast: Cast, now: datetime
) -> None:
    theirs = ended(cast.rival_key.api_key, now - timedelta(hours=3))
    address = {"q": str(theirs.request_id)}

    assert ids(olivia.get(URL)) == []
    assert olivia.get(URL, address).status_code == 200, "no way to its page"
    assert ids(olivia.get(URL, {"api_key": str(cast.rival_key.api_key.pk)})) == []
    assert export(cast, "/o/acme/requests.csv") == []
    assert olivia.get(f"{URL}{theirs.request_id}/").status_code == 404
    assert olivia.get(f"/o/rival/requests/{theirs.request_id}/").status_code == 404
    assert olivia.get("/o/rival/requests.csv").status_code == 404


def test_the_queries_of_a_page_do_not_grow_with_its_rows(
    olivia: Client, cast: Cast, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    keys = [
        services.api_key_create(actor=None, project=cast.project, name=f"key {number}").api_key
        for number in range(10)
    ]
    ended_all([event_of(key, now - timedelta(minutes=1)) for key in keys * 10])

    with django_assert_max_num_queries(12):
        assert len(ids(olivia.get(URL))) == 50


def test_the_export_has_every_request_with_its_exact_amount(
    cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_rows, "CSV_PIECE", 2)
    for minutes in range(1, 6):
        ended(
            cast.key.api_key,
            now - timedelta(minutes=minutes),
            amount=Decimal("0.000000000001") * minutes,
            client_request_id="=1+1",
        )

    lines = export(cast, "/o/acme/requests.csv")

    assert [line["amount"] for line in lines] == [f"0.00000000000{n}" for n in range(1, 6)]
    assert {line["client_request_id"] for line in lines} == {"'=1+1"}
    assert {line["ending"] for line in lines} == {"completed"}
    assert "backend" not in lines[0]


def test_an_export_that_is_cut_says_so(
    cast: Cast, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_rows, "CSV_ROWS", 3)
    monkeypatch.setattr(request_rows, "CSV_PIECE", 2)
    for minutes in range(1, 6):
        ended(cast.key.api_key, now - timedelta(minutes=minutes))

    lines = export(cast, "/o/acme/requests.csv")

    assert len(lines) == 4
    assert lines[-1]["ended_at"].startswith("There is more before")


# One request


def test_the_page_of_a_request_adds_up_to_what_was_booked(
    olivia: Client, cast: Cast, now: datetime
) -> None:
    for component, price in (("input", "0.25"), ("cached_input", "0.05"), ("output", "1.5")):
        rate_set(
            actor=None, model="gpt-oss-120b", component=Component(component), price=Decimal(price)
        )
    at = timezone.now() + timedelta(seconds=3)
    batch = uuid4()
    event = ended(
        cast.key.api_key, at, amount=Decimal("0.0004355"), batch_id=batch, client_request_id="run-7"
    )

    page = olivia.get(f"{URL}{event.request_id}/").text.replace("\u2009", " ")

    for text in ("€0.000 150 000 000", "€0.000 020 000 000", "€0.000 265 500 000"):
        assert text in page
    assert page.count("€0.000 435 500 000") == 1, "the total"
    assert "€0.25 / 1 M" in page
    assert str(batch) in page
    assert "run-7" in page
    assert "routed at 40 ms" in page
    assert "first token at 240 ms" in page
    assert "end at 2 000 ms" in page


def test_a_request_that_failed_costs_nothing_and_says_so(
    olivia: Client, cast: Cast, now: datetime
) -> None:
    event = ended(
        cast.key.api_key, now, outcome=Outcome.UPSTREAM_ERROR, amount=Decimal(0), ttft_ms=None
    )

    page = olivia.get(f"{URL}{event.request_id}/").text.replace("\u2009", " ")

    assert "Billed: Nothing" in page
    assert "€0.000 000 000 000" in page


def test_a_request_that_may_still_come_has_a_page_that_waits(
    olivia: Client, cast: Cast, now: datetime
) -> None:
    request_id = uuid7()
    url = f"{URL}{request_id}/"

    response = olivia.get(url)

    assert response.status_code == 200
    assert "Not booked yet" in response.text
    ended(cast.key.api_key, now, request_id=request_id)
    assert olivia.get(url, headers={"HX-Request": "true"})["HX-Refresh"] == "true"


@pytest.mark.parametrize("old", [OLD, UUID(int=OLD.int ^ 3 << 78)])
def test_a_request_that_can_no_longer_come_does_not_exist(olivia: Client, old: UUID) -> None:
    assert olivia.get(f"{URL}{old}/").status_code == 404
