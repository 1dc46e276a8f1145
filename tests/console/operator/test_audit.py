"""The operator's audit pages, and the reason that staff gives before reading a customer's data."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from time_machine import travel

from tenants.audit.checks import trail_verify
from tenants.models import AuditEntry, AuditStanding
from tests.conftest import Cast
from tests.console.downloads import downloaded
from tests.console.event_rows import ended
from tests.console.reasons import REASON, reason_given

READS = [
    "/operator/organizations/acme/audit/",
    "/operator/organizations/acme/audit.jsonl",
    "/operator/requests/?organization=acme",
    "/operator/requests.csv?organization=acme",
    "/operator/usage/?organization=acme",
    "/operator/usage.csv?organization=acme",
]


def reads_of(cast: Cast) -> list[AuditEntry]:
    entries = AuditEntry.objects.for_organization(cast.acme)
    return list(entries.filter(action="customer_data.read").order_by("seq"))


@pytest.mark.parametrize("address", READS)
def test_a_customers_data_are_read_only_for_a_reason(
    address: str, operator: Client, cast: Cast
) -> None:
    asked: Any = operator.get(address)
    assert asked["Location"].startswith("/operator/organizations/acme/reason/?next=")

    given: Any = operator.post(asked["Location"], {"reason": REASON})
    assert given["Location"] == address
    assert operator.get(address).status_code == 200
    [entry] = reads_of(cast)
    assert (entry.actor, entry.reason) == (cast.oskar, REASON)


def test_one_request_of_a_customer_is_read_only_for_a_reason(operator: Client, cast: Cast) -> None:
    event = ended(cast.key.api_key, timezone.now())
    address = f"/operator/requests/{event.request_id}/"
    assert "/organizations/acme/reason/" in operator.get(address)["Location"]
    reason_given(operator, cast.acme)
    assert operator.get(address).status_code == 200


def test_a_reason_counts_for_one_customer_and_half_an_hour(operator: Client, cast: Cast) -> None:
    reason_given(operator, cast.acme)
    for address in READS:
        assert operator.get(address).status_code == 200
    assert len(reads_of(cast)) == 1
    assert operator.get(READS[0].replace("acme", "rival")).status_code == 302
    with travel(timezone.now() + timedelta(minutes=31), tick=False):
        assert operator.get(READS[0]).status_code == 302


def test_no_reason_is_none(operator: Client, cast: Cast) -> None:
    for reason in ("", "   "):
        answer = operator.post("/operator/organizations/acme/reason/", {"reason": reason})
        assert answer.status_code == 422
    assert not reads_of(cast)
    assert operator.get(READS[0]).status_code == 302


def test_the_way_on_leads_nowhere_else(operator: Client, cast: Cast) -> None:
    address = "/operator/organizations/acme/reason/?next=https://evil.test/"
    assert operator.post(address, {"reason": REASON})["Location"] == (
        "/operator/organizations/acme/"
    )


def test_the_customer_sees_who_read_and_why(operator: Client, cast: Cast, client: Client) -> None:
    reason_given(operator, cast.acme)
    customer = Client()
    customer.force_login(cast.olivia)
    page = customer.get("/o/acme/audit/").text
    assert "Operator read this organization’s data" in page
    assert "Oskar Lund" in page
    assert REASON in page


def test_the_platforms_trail_is_apart_from_the_customers(operator: Client, cast: Cast) -> None:
    operator.post(
        "/operator/regions/add/",
        {"code": "no-oslo", "site": "Oslo", "country": "NO", "jurisdiction": "EEA"},
    )
    rows = operator.get("/operator/audit/").context["rows"]
    assert "Region created" in [row.what for row in rows]
    assert "API key created" not in [row.what for row in rows]


def test_a_trail_that_was_tampered_with_is_told_of(operator: Client, cast: Cast) -> None:
    trail_verify()
    assert "not as it was written" not in operator.get("/operator/audit/").text
    AuditStanding.objects.filter(chain=cast.acme.pk).update(findings=["Entry 2 was changed."])
    page = operator.get("/operator/audit/").text
    assert "The trail of Acme is not as it was written." in page
    assert "1 audit trail is not as it was written." in operator.get("/operator/").text


def test_the_export_of_the_platform_is_on_record(operator: Client, cast: Cast) -> None:
    answer: Any = operator.get("/operator/audit.jsonl")
    assert '"proof"' in downloaded(answer)
    assert AuditEntry.objects.of_platform().latest("seq").action == "audit.export"
