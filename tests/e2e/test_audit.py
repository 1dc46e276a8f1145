"""The audit trail in a browser: what a customer reads of an operator who looked."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tenants import services
from tenants.audit.checks import trail_verify
from tests.conftest import Cast
from tests.e2e.conftest import LogIn, in_server_sight
from tests.e2e.test_pages import listen, look

pytestmark = pytest.mark.django_db


def test_an_operator_says_why_and_the_customer_reads_it(people: Cast, context_of: LogIn) -> None:
    share = {"actor": people.oskar, "organization": people.rival, "share": 9}
    in_server_sight(services.organization_set_share, **share)
    page = context_of("oskar").new_page()
    faults = listen(page)
    page.goto("/operator/organizations/rival/")
    page.get_by_role("link", name="Audit trail").last.click()
    page.get_by_label("Reason").fill("Rita asked us to, ticket 4712")
    page.get_by_role("button", name="Record it and go on").click()
    expect(page.get_by_role("heading", name="Audit trail of Rival")).to_be_visible()
    assert faults == []

    in_server_sight(trail_verify)
    page = context_of("rita").new_page()
    faults = listen(page)
    page.goto("/o/rival/audit/")
    expect(page.get_by_text("Verified to #")).to_be_visible()
    trail = page.get_by_role("region", name="Audit trail")
    entry = trail.locator("details", has_text="Operator read this organization’s data")
    entry.locator("summary").click()
    expect(entry.get_by_text("Rita asked us to, ticket 4712").last).to_be_visible()
    expect(entry.get_by_text("127.0.0.1")).to_have_count(0)
    trail.get_by_text("Share changed").click()
    expect(trail.locator("ins").get_by_text("9", exact=True)).to_be_visible()

    look(page, "audit, opened")

    assert faults == []


def test_a_choice_narrows_the_trail_without_scripts(people: Cast, context_of: LogIn) -> None:
    page = context_of("olivia", java_script_enabled=False).new_page()
    page.goto("/o/acme/audit/")
    page.get_by_label("What", exact=True).select_option("member.add")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.locator("tbody summary").first.click()
    expect(page.locator("tbody").get_by_text("Object").first).to_be_visible()
