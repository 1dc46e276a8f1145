"""What a customer does in the first minutes, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from tenants.models import ApiKey
from tests.conftest import PASSWORD, Cast
from tests.console.usage_rows import used
from tests.e2e.conftest import LogIn, in_server_sight
from tests.e2e.test_pages import axe, listen, look, save

pytestmark = pytest.mark.django_db

KEY: Final = re.compile(r"sluice_sk_[0-9A-Za-z]{49}")


@pytest.fixture
def page(context_of: LogIn) -> Iterator[Page]:
    page = context_of("olivia").new_page()
    page.set_viewport_size({"width": 1440, "height": 900})
    faults = listen(page)
    yield page
    assert faults == []


def test_logging_in_and_out(server: LiveServer, people: Cast, context_of: LogIn) -> None:
    page = context_of("").new_page()
    page.goto("/o/acme/usage/")
    page.get_by_label("Email").fill("olivia@acme.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()

    expect(page.get_by_role("heading", name="Usage", exact=True)).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_key_is_made_in_the_dialog_and_shown_once(page: Page, people: Cast) -> None:
    page.goto("/o/acme/keys/")
    page.get_by_role("link", name="Create key").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Create key")).to_be_visible()
    dialog.get_by_role("button", name="Create key").click()  # the browser asks for the name
    dialog.get_by_label("Name").fill("from the browser")
    dialog.get_by_role("button", name="Create key").click()
    expect(dialog.get_by_role("heading", name="Copy your key now")).to_be_visible()

    secret = dialog.locator("#secret").inner_text()
    assert KEY.fullmatch(secret)
    assert axe(page) == []
    save(page, "created-light-1440")
    dialog.get_by_role("tab", name="Python").click()
    expect(dialog.get_by_text("from openai import OpenAI")).to_be_visible()
    expect(dialog.get_by_text("curl http")).to_be_hidden()
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    dialog.get_by_role("link", name="I have saved the key").click()
    expect(cell(page, "from the browser")).to_be_visible()
    assert secret not in page.content()


def test_the_dialog_sees_the_first_request_arrive(page: Page, people: Cast) -> None:
    page.goto("/o/acme/keys/create/")
    page.get_by_label("Name").fill("first request")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_text("Waiting for the first request")).to_be_visible()

    in_server_sight(ApiKey.objects.filter(name="first request").update, last_used_at=timezone.now())

    expect(page.get_by_text("First request received")).to_be_visible(timeout=60_000)


def test_a_key_is_revoked_after_a_look_at_what_would_break(page: Page, people: Cast) -> None:
    page.goto("/o/acme/keys/")
    page.get_by_role("link", name="support-chat").click()
    page.get_by_role("link", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("requests in the last 24 hours"))).to_be_visible()
    save(page, "revoke-light-1440")
    assert axe(page) == []
    dialog.get_by_role("link", name="Keep it").click()
    expect(dialog).to_be_hidden()

    page.goto("/o/acme/keys/")
    page.get_by_role("link", name="anna laptop").click()
    page.get_by_role("link", name="Revoke…").click()
    dialog.get_by_role("button", name="Revoke", exact=True).click()

    expect(cell(page, "support-chat")).to_be_visible()
    expect(cell(page, "anna laptop")).to_be_hidden()


def test_a_key_is_rotated_and_its_old_secret_ended(page: Page, people: Cast) -> None:
    page.goto("/o/acme/keys/")
    page.get_by_role("link", name="search-index batch").click()
    page.get_by_role("link", name="Rotate…").click()
    dialog = page.get_by_role("dialog")
    save(page, "rotate-light-1440")
    dialog.get_by_role("button", name="Make new secret").click()
    expect(dialog.get_by_role("heading", name="Copy your key now")).to_be_visible()
    secret = dialog.locator("#secret").inner_text()
    assert KEY.fullmatch(secret)

    dialog.get_by_role("link", name="I have saved the key").click()
    expect(page.get_by_text("Old secret retiring").first).to_be_visible()
    page.get_by_role("link", name="search-index batch").click()
    save(page, "retiring-light-1440")
    page.get_by_role("button", name="End now").click()

    expect(page.get_by_text("The old secret works no more.")).to_be_visible()
    expect(page.get_by_text(secret[:14])).to_be_visible()


def test_the_first_steps_tick_themselves(people: Cast, context_of: LogIn) -> None:
    page = context_of("rita").new_page()
    page.goto("/o/rival/")
    expect(page.get_by_text("Waiting for it")).to_be_visible()

    in_server_sight(
        used,
        key=people.rival_key.api_key,
        hour=timezone.now(),
        tokens=(12, 0, 30),
        amount="0.000019800000",
    )

    expect(page.get_by_text("1 request, 42 tokens")).to_be_visible(timeout=60_000)
    save(page, "first-steps-done-light-1440")
    page.get_by_role("link", name="See usage").click()
    expect(page.get_by_role("row", name=re.compile("^Total"))).to_contain_text("€0.000")
    look(page, "usage of one request")


def test_a_range_of_ones_own_and_the_numbers_as_a_table(page: Page, people: Cast) -> None:
    page.goto("/o/acme/usage/")
    page.get_by_role("button", name="Custom").click()
    today = str(timezone.now().date())
    page.get_by_label("From").fill(today)
    page.get_by_label("To", exact=True).fill(today)
    save(page, "custom-range-light-1440")
    page.locator("#custom").get_by_role("button", name="Show").click()
    page.get_by_text("Show hours as a table").click()

    expect(page.get_by_role("columnheader", name="Hour, UTC")).to_be_visible()
    page.get_by_label("Group").select_option(label="By project")
    expect(page.get_by_role("heading", name="By project")).to_be_visible()
    assert f"from={today}" in page.url


def test_the_theme_changes_at_once_and_stays(page: Page, people: Cast) -> None:
    page.goto("/o/acme/models/")
    with page.expect_response("**/theme/"):
        page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")

    page.reload()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_the_menu_opens_on_a_phone(page: Page, people: Cast) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/o/acme/")
    page.get_by_role("button", name="Open menu").click()
    save(page, "menu-light-390")
    assert axe(page) == []
    page.get_by_role("link", name="API keys").click()

    expect(page.get_by_role("heading", name="API keys")).to_be_visible()


def test_the_filters_of_the_log_open_on_a_phone_without_javascript(
    people: Cast, context_of: LogIn
) -> None:
    page = context_of("olivia", java_script_enabled=False).new_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/o/acme/requests/?range=7d")
    search = page.get_by_role("search")
    box = search.bounding_box()
    assert box
    assert box["height"] < 40, "one line"
    expect(page.get_by_label("Ending")).to_be_hidden()
    search.get_by_role("button", name="Filters").click()
    page.get_by_label("Ending").select_option("client_disconnect")
    save(page, "requests-filters-light-390")
    page.get_by_role("button", name="Search").click()

    expect(page).to_have_url(re.compile("range=7d.*outcome=client_disconnect"))
    expect(page.get_by_role("button", name="Filters (1)")).to_be_visible()


def test_a_key_is_made_and_revoked_without_javascript(people: Cast, context_of: LogIn) -> None:
    page = context_of("max", java_script_enabled=False).new_page()
    page.goto("/o/acme/keys/")
    page.get_by_role("link", name="Create key").click()
    page.get_by_label("Name").fill("no script")
    page.get_by_role("button", name="Create key").click()
    assert KEY.fullmatch(page.locator("#secret").inner_text())
    expect(page.get_by_text("from openai import OpenAI")).to_be_visible()

    page.get_by_role("link", name="I have saved the key").click()
    page.get_by_role("link", name="no script").click()
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("button", name="Revoke", exact=True).click()

    expect(page.get_by_role("heading", name="API keys")).to_be_visible()
    expect(cell(page, "no script")).to_be_hidden()


def cell(page: Page, key: str) -> Locator:
    """The first cell of the row of `key` in the list of keys."""
    return page.get_by_role("cell", name=re.compile(f"^{key} sluice_sk_"))
