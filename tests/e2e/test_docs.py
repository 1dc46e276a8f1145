"""The documentation in a browser: every page, in every look, and what moves on it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from console.guides import SLUGS
from tests.e2e.conftest import LogIn
from tests.e2e.test_pages import listen, look

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("slug", SLUGS)
def test_a_page_of_the_documentation_is_sound_in_every_look(slug: str, context_of: LogIn) -> None:
    page = context_of("").new_page()
    faults = listen(page)
    page.goto(f"/docs/{slug}/")

    look(page, f"docs-{slug}")

    assert faults == []


def test_a_member_reads_it_within_the_console(context_of: LogIn) -> None:
    page = context_of("olivia").new_page()
    page.goto("/o/acme/")

    page.get_by_role("navigation", name="Main").get_by_role("link", name="Docs").click()
    page.get_by_role("navigation", name="Documentation").get_by_role("link", name="Errors").click()

    expect(page).to_have_url("/o/acme/docs/errors/")
    expect(page.get_by_role("link", name="API keys")).to_be_visible()


def test_code_is_tabs_with_a_button_that_copies(context_of: LogIn) -> None:
    context = context_of("")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto("/docs/quickstart/")
    page.get_by_role("tab", name="curl").first.click()
    panel = page.get_by_role("tabpanel", name="curl").first

    panel.get_by_role("button", name="Copy").click()

    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl http://")


def test_every_word_of_code_is_there_without_scripts(context_of: LogIn) -> None:
    page = context_of("", java_script_enabled=False).new_page()
    page.goto("/docs/quickstart/")

    for text in ("curl http://", "from openai import OpenAI", 'import OpenAI from "openai"'):
        expect(page.locator("pre", has_text=text).first).to_be_visible()
