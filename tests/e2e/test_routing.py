"""An operator says where requests may go, and asks where one would."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Cast
from tests.e2e.conftest import LogIn
from tests.e2e.test_pages import listen, look

pytestmark = pytest.mark.django_db

REQUEST = json.dumps(
    {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "Tell me about canals."}]}
)


@pytest.fixture
def page(people: Cast, context_of: LogIn) -> Iterator[Page]:
    """The operator's; nothing may go wrong on it."""
    page = context_of("oskar").new_page()
    faults = listen(page)
    yield page
    assert faults == []


@pytest.mark.usefixtures("live")
def test_a_request_is_tried(page: Page) -> None:
    page.goto("/operator/routing/")
    page.get_by_role("link", name="Try a request").click()
    page.get_by_label("Body").fill(REQUEST)
    page.get_by_label("Organization").fill("acme")
    page.get_by_label("Headers").fill("X-Session-Id: 42")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_text("would get it.")).to_be_visible()
    expect(page.get_by_role("region", name="Candidates")).to_contain_text("lulea-gpu-01")
    expect(page.get_by_text("None: there are no two backends to choose from.")).to_be_visible()
    look(page, "operator_routing_try, tried")


def test_a_request_that_is_none_is_said_at_its_field(page: Page) -> None:
    page.goto("/operator/routing/try/")
    page.get_by_label("Body").fill("Tell me about canals.")
    page.get_by_role("button", name="Try").click()
    expect(page.get_by_text("It would get 400 invalid_json")).to_be_visible()
    expect(page.get_by_label("Body")).to_have_value("Tell me about canals.")
    look(page, "operator_routing_try, refused")


def test_a_policy_is_set_and_shows_on_the_list(page: Page) -> None:
    page.goto("/operator/routing/")
    page.get_by_role("link", name="Change the routing of gpt-oss-120b").click()
    page.get_by_label("Fallback", exact=True).select_option(label="qwen3-32b")
    page.get_by_label("To the first byte, s").fill("20")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Routing changed")).to_be_visible()
    expect(page.get_by_text("Its context is 40\u2009960 tokens, not 131\u2009072.")).to_be_visible()
    page.goto("/operator/routing/?policy=fallback")
    expect(page.get_by_role("region", name="Policies")).to_contain_text("To the first byte: 20 s")
    look(page, "operator_routing, with a policy")


def test_regions_are_restricted_after_what_they_break_was_seen(
    page: Page, context_of: LogIn
) -> None:
    add_a_region(page)
    page.goto("/operator/organizations/acme/")
    page.get_by_role("link", name="Change regions and share").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Berlin, DE").check()
    dialog.get_by_label("Share when requests wait").fill("4")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("have no backend in these regions")
    expect(page.get_by_role("alert")).to_contain_text("gpt-oss-120b")
    look(page, "operator_organization_routing, stranded")
    page.get_by_role("button", name="Restrict anyway").click()
    page.get_by_role("link", name="Audit trail").last.click()
    trail = page.get_by_role("region", name="Audit trail")
    expect(trail.get_by_text("Allowed regions changed").first).to_be_visible()
    customer = context_of("olivia").new_page()
    customer.goto("/o/acme/models/")
    expect(customer.get_by_text("Your requests go only to Berlin, DE.")).to_be_visible()
    look(customer, "models, restricted")
    page.goto("/operator/organizations/acme/routing/")
    page.get_by_label("Berlin, DE").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Every region")).to_be_visible()


def add_a_region(page: Page) -> None:
    page.goto("/operator/regions/add/")
    for label, value in (
        ("Code", "de-berlin"), ("Site", "Berlin"), ("Country", "DE"), ("Jurisdiction", "EU"),
    ):  # fmt: skip
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Add region").click()
    expect(page.get_by_text("Berlin is added.")).to_be_visible()


def test_without_scripts_the_same_forms_work(people: Cast, page: Page, context_of: LogIn) -> None:
    plain = context_of("oskar", java_script_enabled=False).new_page()
    plain.goto("/operator/organizations/acme/")
    plain.get_by_role("link", name="Change regions and share").click()
    plain.get_by_label("Share when requests wait").fill("7")
    plain.get_by_role("button", name="Save").click()
    people.acme.refresh_from_db()
    assert people.acme.share == 7
    plain.goto("/operator/routing/try/")
    plain.get_by_label("Body").fill(REQUEST)
    plain.get_by_role("button", name="Try").click()
    assert "would get it." in plain.content()
