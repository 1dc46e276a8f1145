"""Usage and costs are the numbers of the usage page, in buckets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from billing.ingest import ingest
from billing.metering import UsageRecord
from billing.models import Component, Outcome, Terms
from billing.services import rate_set
from console.api.usage import KINDS, UsageAsked, kind_of, span_of
from console.forms import Days
from console.reports import UsageReport
from inference import control
from inference.models import Task
from tenants import services
from tenants.models import new_id
from tests.billing.records import MODEL, put
from tests.conftest import Cast
from tests.console.api.conftest import Api
from tests.console.event_rows import ended
from tests.console.usage_rows import used

pytestmark = pytest.mark.django_db

NOW: Final = datetime(2026, 11, 12, 15, 30, tzinfo=UTC)
USAGE: Final = "/organization/usage"


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def rows(cast: Cast) -> None:
    """Three days of two models, by two keys in two projects."""
    other = services.project_create(actor=None, organization=cast.acme, name="Other")
    robot = services.service_account_create(actor=None, project=other, name="robot")
    second = services.api_key_create(
        actor=cast.olivia, project=other, name="second", service_account=robot
    )
    for days in range(3):
        at = NOW - timedelta(days=days, hours=2)
        used(cast.key.api_key, at, amount="0.000210000001", requests=2, tokens=(1000, 400, 177))
        used(second.api_key, at, model="tiny", amount="1.5", requests=5, tokens=(70, 0, 7))
    used(cast.rival_key.api_key, NOW, amount="99", requests=1000)


def _results(body: Any) -> list[dict[str, Any]]:
    return [one for bucket in body["data"] for one in bucket["results"]]


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


FIRST: Final = date(2026, 11, 10)


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("width", ["1h", "1d"])
def test_usage_and_costs_are_those_of_the_usage_page(width: str, api: Api, cast: Cast) -> None:
    page = UsageReport(cast.acme, Days(FIRST, NOW.date()), "model").totals
    span = {"start_time": _unix(FIRST), "limit": 100 if width == "1h" else 7}
    told = _results(api.get(f"{USAGE}/completions", bucket_width=width, **span).body)
    assert sum(one["num_model_requests"] for one in told) == page.requests
    assert sum(one["input_tokens"] for one in told) == page.input_tokens
    assert sum(one["input_cached_tokens"] for one in told) == page.cached_tokens
    assert sum(one["output_tokens"] for one in told) == page.output_tokens


@pytest.mark.usefixtures("rows")
def test_costs_are_exact_and_add_up(api: Api, cast: Cast) -> None:
    page = UsageReport(cast.acme, Days(FIRST, NOW.date()), "model").totals
    query = f"start_time={_unix(FIRST)}&group_by[]=line_item&group_by[]=project_id"
    raw = api.client.get(f"/api/v1/organization/costs?{query}", headers=api.headers).content
    assert b'"value":0.000210000001' in raw
    told = _results(api.get("/organization/costs", start_time=_unix(FIRST)).body)
    exact = [Decimal(repr(one["amount"]["value"])) for one in told]
    assert sum(exact) == page.amount
    assert {one["amount"]["currency"] for one in told} == {"eur"}
    Terms.objects.create(organization=cast.acme, currency="SEK")
    told = _results(api.get("/organization/costs", start_time=_unix(FIRST)).body)
    assert {one["amount"]["currency"] for one in told} == {"sek"}
    grouped = _results(api.get(f"/organization/costs?{query}").body)
    assert {one["line_item"] for one in grouped} == {"gpt-oss-120b", "tiny"}
    assert len({one["project_id"] for one in grouped}) == 2


def test_minutes_come_from_the_requests_themselves(api: Api, cast: Cast) -> None:
    for seconds in (10, 20, 100):
        ended(cast.key.api_key, NOW - timedelta(seconds=seconds))
    ended(cast.rival_key.api_key, NOW - timedelta(seconds=15))
    start = int((NOW - timedelta(minutes=5)).timestamp())
    body = api.get(f"{USAGE}/completions", start_time=start, bucket_width="1m").body
    assert [bucket["start_time"] - start for bucket in body["data"]] == [0, 60, 120, 180, 240, 300]
    counts = [[one["num_model_requests"] for one in bucket["results"]] for bucket in body["data"]]
    assert counts == [[], [], [], [1], [2], []]
    assert _results(body)[0]["input_tokens"] == 1000


@pytest.mark.usefixtures("rows")
def test_filters_and_groups_part_it(api: Api, cast: Cast) -> None:
    def asked(**query: Any) -> list[dict[str, Any]]:
        return _results(api.get(f"{USAGE}/completions", start_time=_unix(FIRST), **query).body)

    mine = asked(project_ids=str(cast.project.pk))
    assert {one["num_model_requests"] for one in mine} == {2}
    assert asked(api_key_ids=str(cast.key.api_key.pk)) == mine
    assert asked(models="gpt-oss-120b") == mine
    assert asked(**{"user_ids[]": cast.olivia.pk}) == mine
    people = asked(group_by=["user_id", "model"])
    assert {(one["user_id"], one["model"]) for one in people} == {
        (str(cast.olivia.pk), "gpt-oss-120b"),
        (None, "tiny"),
    }
    assert asked(project_ids=str(cast.rival_project.pk)) == []
    assert asked(api_key_ids=str(cast.rival_key.api_key.pk)) == []


@pytest.mark.usefixtures("rows")
def test_pages_follow_one_another_without_gap_or_overlap(api: Api) -> None:
    query: dict[str, Any] = {"start_time": _unix(FIRST), "bucket_width": "1h", "limit": 25}
    whole = api.get(f"{USAGE}/completions", **(query | {"limit": 168})).body
    pages, has_more = list[Any](), True
    while has_more:
        body = api.get(f"{USAGE}/completions", **query).body
        pages += body["data"]
        has_more, query["page"] = body["has_more"], body["next_page"]
    assert query["page"] is None
    assert pages == whole["data"]
    assert len(pages) == 64


def test_each_model_counts_in_one_kind(api: Api, cast: Cast) -> None:
    for name, task in (
        ("reader", Task.EMBEDDING),
        ("ranker", Task.RERANK),
        ("ear", Task.TRANSCRIPTION),
    ):
        control.model_create(
            actor=None, public_id=name, name=name, tasks=[task], context_tokens=512, owned_by="Acme"
        )  # fmt: skip
        used(cast.key.api_key, NOW, model=name, audio_seconds=9 if name == "ear" else 0)
    used(cast.key.api_key, NOW, model="forgotten")
    found = {
        kind: _results(
            api.get(f"{USAGE}/{kind}", start_time=_unix(NOW.date()), group_by="model").body
        )
        for kind in KINDS
    }
    assert {kind: [one["model"] for one in ones] for kind, ones in found.items()} == {
        "completions": ["forgotten"],
        "embeddings": ["reader"],
        "reranks": ["ranker"],
        "audio_transcriptions": ["ear"],
    }
    assert found["audio_transcriptions"][0]["seconds"] == 9


def test_what_nobody_offers_here_is_empty(api: Api) -> None:
    body = api.get(f"{USAGE}/images", start_time=_unix(FIRST)).body
    assert len(body["data"]) == 3
    assert _results(body) == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({}, "start_time"),
        ({"start_time": "soon"}, "start_time"),
        ({"start_time": 100, "end_time": 50}, "end_time"),
        ({"start_time": _unix(FIRST), "bucket_width": "2d"}, "bucket_width"),
        ({"start_time": _unix(FIRST) - 10 * 86_400, "bucket_width": "1m"}, "bucket_width"),
        ({"start_time": _unix(FIRST), "limit": 32}, "limit"),
        ({"start_time": _unix(FIRST), "page": "page_1"}, "page"),
        ({"start_time": _unix(FIRST), "group_by": "colour"}, "group_by[0]"),
        ({"start_time": _unix(FIRST), "project_ids": "mine"}, "project_ids[0]"),
        ({"start_time": _unix(FIRST), "colour": "red"}, "colour"),
    ],
)
def test_a_question_that_makes_no_sense_is_told_why(
    query: dict[str, Any], param: str, api: Api
) -> None:
    told = api.get(f"{USAGE}/completions", **query)
    assert (told.status, told.error["param"]) == (400, param)


@pytest.mark.usefixtures("rows")
def test_a_page_of_buckets_is_two_questions_to_the_database(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(3):  # the key, the models, the sums
        api.get(f"{USAGE}/completions", start_time=_unix(FIRST), group_by="model")


MOMENTS: Final = st.integers(0, 4_102_444_800)


@given(start=MOMENTS, length=st.integers(1, 6 * 86_400), width=st.sampled_from(["1m", "1h", "1d"]))
def test_buckets_cover_what_was_asked_from_its_first_second_to_its_last(
    start: int, length: int, width: Any
) -> None:
    asked = UsageAsked(start_time=start, end_time=min(start + length, 4_102_444_800))
    if asked.end_time == start:
        return
    span = span_of(asked, width, (10_000, 10_000))
    moments = [int(at.timestamp()) for at in span.moments]
    step = int(span.width.total_seconds())
    assert moments[0] <= start < moments[0] + step
    assert asked.end_time
    assert moments[-1] < asked.end_time <= moments[-1] + step
    assert span.following is None


@given(st.lists(st.sampled_from([task.value for task in Task]), min_size=1))
def test_a_model_is_of_one_kind(tasks: list[str]) -> None:
    assert kind_of(tasks) in KINDS


def _request(cast: Cast, at: datetime, **fields: Any) -> UsageRecord:
    usual: dict[str, Any] = {
        "request_id": new_id(), "organization_id": cast.acme.pk, "project_id": cast.project.pk,
        "api_key_id": cast.key.api_key.pk, "model": MODEL, "backend": "gpu-1", "region": "se-lulea",
        "endpoint": "/v1/chat/completions", "streamed": False, "outcome": Outcome.COMPLETED,
        "admitted_at": at, "occurred_at": at, "ttft_ms": 80, "duration_ms": 2000,
        "input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50,
    }  # fmt: skip
    return UsageRecord(**usual | fields)


def test_minutes_hours_days_costs_and_the_page_are_one_number(api: Api, cast: Cast) -> None:
    """From the records that gateways leave, through the ingest, to each answer."""
    for component in (Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT):
        price, since = Decimal("0.333333"), NOW - timedelta(days=9)
        rate_set(actor=None, model=MODEL, component=component, price=price, valid_from=since)
    endings = [Outcome.COMPLETED, Outcome.CLIENT_DISCONNECT, Outcome.UPSTREAM_ERROR]
    put(*(
        _request(cast, NOW - timedelta(minutes=7 * n), output_tokens=n, outcome=endings[n % 3])
        for n in range(40)
    ))  # fmt: skip
    while ingest():
        pass
    page = UsageReport(cast.acme, Days(NOW.date(), NOW.date()), "model").totals
    assert (page.requests, page.amount > 0) == (40, True)
    start = _unix(NOW.date())
    for width, most in (("1m", 1440), ("1h", 24), ("1d", 1)):
        body = api.get(
            f"{USAGE}/completions", start_time=start, bucket_width=width, limit=most
        ).body
        told = _results(body)
        assert sum(one["num_model_requests"] for one in told) == page.requests
        assert sum(one["input_tokens"] for one in told) == page.input_tokens
        assert sum(one["output_tokens"] for one in told) == page.output_tokens
    [cost] = _results(api.get("/organization/costs", start_time=start).body)
    assert f"{cost['amount']['value']:.12f}" == f"{page.amount:.12f}"
