"""An operator takes a model from the catalog through its life, and a customer sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Cast
from tests.e2e.conftest import LogIn
from tests.e2e.test_pages import axe, listen, save

pytestmark = pytest.mark.django_db

MODEL = "gpt-oss-20b"


@pytest.fixture
def page(people: Cast, context_of: LogIn) -> Iterator[Page]:
    """The operator's; nothing may go wrong on it."""
    page = context_of("oskar").new_page()
    faults = listen(page)
    yield page
    assert faults == []


def test_a_model_is_added_deployed_shown_to_one_deprecated_and_removed(
    page: Page, context_of: LogIn
) -> None:
    add_from_the_catalog(page)
    deploy(page)
    show_to_acme_alone(page)
    deprecate(page)
    customer = context_of("olivia").new_page()
    customer.goto("/o/acme/models/?q=20b")
    customer.get_by_role("link", name="gpt-oss 20B").click()
    expect(customer.get_by_text("Deprecated: it is served until 2 Jan 2099.")).to_be_visible()
    customer.get_by_role("tab", name="Python").first.click()
    expect(customer.get_by_text(f'model="{MODEL}"').first).to_be_visible()
    stranger = context_of("rita").new_page()
    stranger.goto(f"/o/rival/models/{MODEL}/")
    expect(stranger.get_by_text("404")).to_be_visible()
    remove_the_deployment(page)


def add_from_the_catalog(page: Page) -> None:
    page.goto("/operator/models/")
    page.get_by_role("link", name="Add from catalog").click()
    page.get_by_role("link", name="Add gpt-oss 20B").click()
    expect(page.get_by_label("Made by")).to_have_value("OpenAI")
    for label, price in (("Input", "0.05"), ("Cached input", "0.02"), ("Output", "0.2")):
        page.get_by_label(label, exact=True).fill(price)
    page.get_by_role("button", name="Add model").click()
    expect(page.get_by_text(f"{MODEL} is added.")).to_be_visible()
    expect(page.get_by_text("It runs nowhere yet")).to_be_visible()


def deploy(page: Page) -> None:
    page.get_by_role("link", name="Deploy", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name on the engine")).to_have_value(MODEL)
    dialog.get_by_label("Backend").select_option(label="lulea-gpu-02")
    dialog.get_by_label("Weight").fill("3")
    save(page, "deploy-dialog-light-1440")
    assert axe(page) == []
    dialog.get_by_role("button", name="Deploy").click()
    expect(page.get_by_role("row", name="lulea-gpu-02 Luleå")).to_contain_text("Serving")


def show_to_acme_alone(page: Page) -> None:
    page.get_by_role("link", name="Visibility…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Only those named here").check()
    dialog.get_by_label("Organizations").fill("acme")
    save(page, "visibility-dialog-light-1440")
    assert axe(page) == []
    dialog.get_by_role("button", name="Set visibility").click()
    expect(page.get_by_role("link", name="Acme")).to_be_visible()


def deprecate(page: Page) -> None:
    page.get_by_role("link", name="Status…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Status").select_option(label="Deprecated")
    dialog.get_by_label("Sunset").fill("2099-01-02")
    dialog.get_by_label("Replacement").select_option(label="gpt-oss-120b")
    save(page, "status-dialog-light-1440")
    assert axe(page) == []
    dialog.get_by_role("button", name="Set status").click()
    expect(page.get_by_text("Model status changed")).to_be_visible()
    save(page, "operator-model-deprecated-light-1440")


def remove_the_deployment(page: Page) -> None:
    page.get_by_role("link", name=f"Remove {MODEL} on lulea-gpu-02…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("runs nowhere else")
    save(page, "remove-dialog-light-1440")
    assert axe(page) == []
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("It runs nowhere yet")).to_be_visible()
