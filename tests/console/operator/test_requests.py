"""The request log of all organizations, as operators see it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from uuid_utils.compat import uuid7

from tests.conftest import Cast
from tests.console.event_rows import ended, ended_all, event_of
from tests.console.operator.conftest import text_of
from tests.console.reasons import reason_given

URL = "/operator/requests/"


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def owners(response: Any) -> list[str]:
    return [row.organization.slug for row in response.context["rows"]]


def test_the_requests_of_all_are_listed_newest_first(
    operator: Client, cast: Cast, now: datetime
) -> None:
    ended(cast.key.api_key, now - timedelta(minutes=3))
    sek = {"amount": Decimal("0.07"), "currency": "SEK"}
    paid = ended(cast.rival_key.api_key, now - timedelta(minutes=2), **sek)
    ended(cast.key.api_key, now - timedelta(minutes=1))

    response = operator.get(URL)

    assert owners(response) == ["acme", "rival", "acme"]
    assert "lulea-gpu-01" in response.text
    reason_given(operator, cast.rival)
    assert owners(operator.get(URL, {"organization": "rival"})) == ["rival"]
    opened = text_of(operator.get(f"{URL}{paid.request_id}/"))
    for page in (text_of(response), opened):
        assert "SEK 0.070 000" in page
    assert "€" not in opened


def test_the_requests_of_a_backend_or_an_ending_are_found(
    operator: Client, cast: Cast, now: datetime, backend: object
) -> None:
    ended(cast.rival_key.api_key, now - timedelta(minutes=3), outcome="timeout", amount=Decimal(0))
    ended(cast.key.api_key, now - timedelta(minutes=2), backend="gone")

    assert owners(operator.get(URL, {"outcome": "timeout"})) == ["rival"]
    assert owners(operator.get(URL, {"backend": "lulea-gpu-01"})) == ["rival"]


def test_an_organization_that_does_not_exist_is_refused(operator: Client) -> None:
    response = operator.get(URL, {"organization": "nobody"})

    assert response.status_code == 422
    assert (
        "No organization has this short name: it stands in the address of its pages."
        in response.text
    )


def test_an_id_opens_the_request_of_any_organization(
    operator: Client, cast: Cast, now: datetime
) -> None:
    event = ended(cast.rival_key.api_key, now - timedelta(days=60), attempts=3)

    reason_given(operator, cast.rival)
    found = operator.get(URL, {"q": str(event.request_id)})
    page = text_of(operator.get(found["Location"]))

    assert "3 backends were asked" in page
    assert "Rival" in page
    assert "lulea-gpu-01" in page
    assert operator.get(f"{URL}{uuid4()}/").status_code == 404
    assert "Not booked yet" in operator.get(f"{URL}{uuid7()}/").text


def test_the_queries_of_a_page_do_not_grow_with_its_rows(
    operator: Client,
    cast: Cast,
    now: datetime,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    keys = [cast.key.api_key, cast.rival_key.api_key]
    ended_all([event_of(key, now - timedelta(minutes=1)) for key in keys * 25])

    with django_assert_max_num_queries(8):
        assert len(owners(operator.get(URL))) == 50
