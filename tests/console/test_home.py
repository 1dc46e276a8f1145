"""The customer's home: first steps, this month, newest keys."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from inference.models import Region
from tenants import services
from tests.conftest import Cast
from tests.console.usage_rows import used


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


def test_the_steps_wait_for_the_first_request(olivia: Client, cast: Cast) -> None:
    page = olivia.get("/o/acme/").text

    assert "First steps" in page
    assert "Waiting for it" in page
    assert 'hx-trigger="every 3s"' in page
    assert page.count('class="step done"') == 1


def test_the_steps_tick_when_the_first_request_arrives(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, timezone.now(), amount="0.000012340000", tokens=(12, 0, 30))

    part = olivia.get("/o/acme/", headers={"HX-Request": "true"})

    assert part.text.count('class="step done"') == 4
    assert "1 request, 42 tokens" in part.text
    assert "€0.000\u2009012\u2009340" in part.text
    assert "hx-trigger" not in part.text
    assert part["HX-Refresh"] == "true"


def test_the_steps_leave_a_week_after_the_first_request(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, timezone.now() - timedelta(days=8))

    assert "First steps" not in olivia.get("/o/acme/").text


def test_the_month_counts_this_organization_alone(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, timezone.now(), amount="12.34", requests=5)
    used(cast.rival_key.api_key, timezone.now(), amount="99.99", requests=7)

    page = olivia.get("/o/acme/").text

    assert "€12.34" in page
    assert "99.99" not in page


def test_without_a_key_the_first_step_is_the_one_to_take(olivia: Client, cast: Cast) -> None:
    services.api_key_revoke(actor=cast.olivia, api_key=cast.key.api_key)
    page = olivia.get("/o/acme/").text

    assert "No keys yet." in page
    assert "/o/acme/keys/create/" in page


def test_a_customer_reads_where_its_requests_may_go(
    olivia: Client, cast: Cast, region: Region
) -> None:
    assert "Your requests go only to" not in olivia.get("/o/acme/").text
    services.organization_set_regions(actor=None, organization=cast.acme, regions=["se-lulea"])
    assert "Your requests go only to Luleå, SE." in olivia.get("/o/acme/").text
