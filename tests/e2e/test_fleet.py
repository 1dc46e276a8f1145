"""An operator looks after backends that are at work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from inference import control
from inference.models import Backend, BackendState
from tests.conftest import Cast
from tests.console.operator.live_rows import gateway_said, queue
from tests.e2e.conftest import LogIn
from tests.e2e.seed_live import AHEAD
from tests.e2e.test_pages import listen, look

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("live")]


@pytest.fixture
def page(people: Cast, context_of: LogIn) -> Iterator[Page]:
    """The operator's, with a clock that tests can turn; nothing may go wrong on it."""
    page = context_of("oskar").new_page()
    page.clock.install()
    faults = listen(page)
    yield page
    assert faults == []


@pytest.fixture
def backend(people: Cast) -> Iterator[Backend]:
    backend = Backend.objects.get(name="lulea-gpu-01")
    yield backend
    control.backend_set_state(actor=None, backend=backend, state=BackendState.ACTIVE)


def ahead() -> datetime:
    return timezone.now() + AHEAD


def test_a_backend_is_drained_watched_until_it_is_empty_and_taken_back(
    page: Page, backend: Backend
) -> None:
    page.goto("/operator/backends/")
    page.get_by_role("link", name="lulea-gpu-01", exact=True).click()
    page.get_by_role("link", name="Drain…").click()
    expect(page.get_by_role("dialog").get_by_text("In flight now")).to_be_visible()
    page.get_by_role("button", name="Drain", exact=True).click()
    expect(page.get_by_text("48 requests still run.")).to_be_visible()
    expect(page.get_by_text("Drained: no new requests")).to_be_visible()
    gateway_said(in_flight={}, at=ahead())
    page.clock.fast_forward(5000)
    expect(page.get_by_text("Nothing runs on it any more")).to_be_visible()
    look(page, "operator_backend, drained")
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_text("lulea-gpu-01 is active.")).to_be_visible()
    expect(page.get_by_role("link", name="Drain…")).to_be_visible()


def test_a_table_stays_open_while_the_page_renews_itself(page: Page, backend: Backend) -> None:
    page.goto("/operator/backends/lulea-gpu-01/")
    page.get_by_text("Show as a table").first.click()
    table = page.get_by_role("region", name="Figures over time")
    expect(table.get_by_role("row")).to_have_count(61)
    tile = page.get_by_role("definition").filter(has_text="48").first
    expect(tile).to_be_visible()
    gateway_said(in_flight={backend: 7}, at=ahead())
    page.clock.fast_forward(5000)
    expect(page.locator("#trends .big").first).to_have_text("7")
    expect(table).to_be_visible()


def test_how_much_a_backend_takes_is_changed_in_a_dialog(page: Page, backend: Backend) -> None:
    page.goto("/operator/backends/lulea-gpu-01/")
    page.get_by_role("link", name="Edit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Most in flight").fill("64")
    look(page, "operator_backend, edited")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Backend changed: max in flight 256 → 64")).to_be_visible()


def test_the_queues_follow_within_two_seconds(page: Page, people: Cast) -> None:
    page.goto("/operator/queues/")
    expect(page.get_by_role("row", name="Acme gpt-oss-120b 38")).to_be_visible()
    gateway_said(queue(people.acme, model="gpt-oss-120b", waiting=39, oldest_s=4.4), at=ahead())
    page.clock.fast_forward(2000)
    expect(page.get_by_role("row", name="Acme gpt-oss-120b 39")).to_be_visible()
    gateway_said(at=ahead())
    page.clock.fast_forward(2000)
    expect(page.get_by_text("Nobody waits.")).to_be_visible()
    look(page, "operator_queues, nobody waits")


def test_all_of_it_works_without_javascript(
    context_of: LogIn, people: Cast, backend: Backend
) -> None:
    page = context_of("oskar", java_script_enabled=False).new_page()
    page.goto("/operator/queues/")
    expect(page.get_by_role("row", name="Acme gpt-oss-120b 38")).to_be_visible()
    page.goto("/operator/backends/lulea-gpu-01/")
    page.get_by_role("link", name="24").click()
    expect(page.get_by_role("heading", name="Last 24")).to_be_visible()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Weight").fill("0")
    page.get_by_label("Weight").evaluate("box => box.form.noValidate = true")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("greater than or equal to 1")).to_be_visible()
    page.get_by_label("Weight").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Backend changed: weight 1 → 2")).to_be_visible()
    page.get_by_role("link", name="Disable…").click()
    page.get_by_role("link", name="Keep it as it is").click()
    expect(page.get_by_role("heading", name="lulea-gpu-01")).to_be_visible()
