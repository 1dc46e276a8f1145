"""A new customer's money in a browser: from signing up to an invoice that adds up by itself."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import pytest
from django.test import override_settings
from openai import AuthenticationError, OpenAI, RateLimitError
from playwright.sync_api import Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.e2e.conftest import MODEL, LogIn
from tests.e2e.test_newcomer import organization_open, sign_up
from tests.e2e.test_pages import listen, save
from tests.inference.gateway.conftest import Running

pytestmark = pytest.mark.django_db

SPENDER: Final = "siri@spender.test"
VERIFIER: Final = "verify_invoice.py"
PATIENCE_S: Final = 120


@pytest.fixture(autouse=True)
def _patience() -> None:
    expect.set_options(timeout=PATIENCE_S * 1000)


# The server of the tests is no ASGI one: what comes in pieces is put together there.
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
@pytest.mark.usefixtures("worker")
def test_a_newcomer_pays_runs_dry_pays_again_is_invoiced_and_the_books_are_even(
    passkey_page: Page,
    context_of: LogIn,
    dear: Running,
    server: LiveServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    page, operator = passkey_page, context_of("oskar").new_page()
    for one in (page, operator):
        one.set_default_timeout(PATIENCE_S * 1000)
    faults = listen(page)
    home = server.url.replace("127.0.0.1", "localhost")
    with override_settings(SIGN_UP_OPEN=True, CONSOLE_URL=home):
        sign_up(page, SPENDER)
        organization_open(page, "Spender")
        billing = f"{home}/o/spender/billing/"
        page.goto(billing)
        top_up_begin(page)
        pay(page, after="4000 0000 0000 0002")
        expect(page.get_by_text("The credit is booked")).to_be_visible()
        save(page, "story paid")
        client = OpenAI(base_url=f"{dear.url}/v1", api_key=key_make(page), max_retries=0)
        refusal = spend_all(client)
        assert (refusal.type, refusal.code) == ("insufficient_quota", "credit_balance_exhausted")
        assert "Add balance under Billing at http" in refusal.message

        page.goto(billing)
        eventually(page, page.get_by_text("The balance is used up"))
        save(page, "story dry")
        page.goto(f"{billing}top-up/?amount=20")
        page.get_by_role("button", name="Pay €25.00").click()
        paying = time.monotonic()
        pay(page)
        served(client)
        record_property("from_paying_to_served_s", time.monotonic() - paying)

        page.goto(billing)
        automatic_on(page)
        ask(client, 1000)
        eventually(page, page.get_by_text("€30.00", exact=True))

        month_close(operator)
        page.reload()
        invoice_verify(page, tmp_path)
        credit_note_issue(operator)
        books_are_even(operator)
    assert faults == []


def top_up_begin(page: Page) -> None:
    """By way of the address, without which nobody knows the VAT."""
    page.get_by_role("link", name="Add balance").first.click()
    page.get_by_role("link", name="€20", exact=True).click()
    page.get_by_role("link", name="Enter the address").click()
    typed = {
        "Legal name": "Spender AB", "Address": "Storgatan 2", "Postcode": "972 31",
        "City": "Luleå", "Country": "SE",
    }  # fmt: skip
    for label, text in typed.items():
        page.get_by_label(label, exact=True).fill(text)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Pay €25.00").click()


def pay(page: Page, *, after: str = "") -> None:
    """On Stripe's page, with the card that is offered; `after` is the number of one declined."""
    button = page.get_by_role("button", name="Pay")
    if after:
        page.get_by_label("Card number").fill(after)
        button.click()
        expect(page.get_by_text("Your card was declined.")).to_be_visible()
    button.click()
    page.wait_for_url("**/top-up/**")


def key_make(page: Page) -> str:
    page.get_by_role("link", name="API keys").first.click()
    page.get_by_role("link", name="Create key").first.click()
    page.get_by_label("Name").fill("spend")
    page.get_by_role("button", name="Create key").click()
    return page.locator("#secret").inner_text()


def ask(client: OpenAI, tokens: int) -> None:
    """Of an answer so long, at a cent a token. Raises RateLimitError when credit is too little."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.chat.completions.create(
                model=MODEL, max_tokens=tokens, messages=[{"role": "user", "content": "Hello"}]
            )
        except (AuthenticationError, RateLimitError) as error:  # a new key; too many a minute
            if error.type == "insufficient_quota" or time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return


def spend_all(client: OpenAI) -> RateLimitError:
    """Down to less than a cent; how the last request was refused."""
    tokens = 2000
    while True:
        try:
            ask(client, tokens)
        except RateLimitError as refused:
            if tokens == 1:
                return refused
            tokens //= 2


def served(client: OpenAI) -> None:
    """Once there is credit again."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            ask(client, 1)
        except RateLimitError:
            assert time.monotonic() < ends, "still refused"
        else:
            return


def eventually(page: Page, found: Locator) -> None:
    """The page is loaded anew until it shows that."""
    ends = time.monotonic() + PATIENCE_S
    while not found.count():
        assert time.monotonic() < ends, page.inner_text("main")
        page.reload()


def automatic_on(page: Page) -> None:
    page.get_by_role("link", name="Top up automatically").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Top up automatically").check()
    for label, amount in (("falls below", "15"), ("Buy credit of", "30"), ("at most", "100")):
        dialog.get_by_label(label).fill(amount)
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Tops up with €30.00 below €15.00.")).to_be_visible()


def month_close(operator: Page) -> None:
    operator.goto("/operator/organizations/spender/")
    operator.get_by_role("link", name="Close a month").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("They leave")
    dialog.get_by_role("button", name="Close the month").click()
    expect(operator.get_by_text("The month is closed.")).to_be_visible()


def invoice_verify(page: Page, folder: Path) -> None:
    """With what the customer downloads, in a process that has nothing of ours."""
    page.get_by_role("link", name=re.compile(r"^S\d{4}-")).first.click()
    number = page.get_by_role("heading", level=1).inner_text()
    pdf = fetched(page, "PDF")
    assert pdf.startswith(b"%PDF-")
    assert number.encode() in pdf
    save(page, "story invoice")
    files = [folder / name for name in (VERIFIER, f"{number}.json", f"{number}-usage.csv")]
    for file in files:
        file.write_bytes(fetched(page, file.name))
    checked = subprocess.run(  # noqa: S603 - what was downloaded is the subject
        [sys.executable, *files], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert page.locator("dd.mono").inner_text() in checked.stdout


def fetched(page: Page, name: str) -> bytes:
    """What the link of this name leads to."""
    address = page.get_by_role("link", name=name, exact=True).get_attribute("href") or ""
    return page.request.get(urljoin(page.url, address)).body()


def credit_note_issue(operator: Page) -> None:
    """For a part of what was bought and is not used; it goes back to the card."""
    operator.goto("/operator/invoices/?q=spender&kind=top_up")
    operator.get_by_role("link", name=re.compile(r"^R\d{4}-")).first.click()
    operator.get_by_role("link", name="Credit note…").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_label("Amount, excl. VAT").fill("5")
    dialog.get_by_label("Reason").fill("An hour of errors")
    dialog.get_by_role("button", name="Issue credit note").click()
    expect(operator.get_by_text("The credit note is issued.")).to_be_visible()
    save(operator, "story credit note")


def books_are_even(operator: Page) -> None:
    operator.goto("/operator/books/")
    operator.get_by_role("button", name="Compute anew").click()
    expect(operator.get_by_text("0 differences")).to_be_visible()
    expect(operator.get_by_role("region", name="Trial balance, EUR")).to_be_visible()
    expect(operator.get_by_text("to the last of 12 decimals: 0", exact=False)).to_be_visible()
    save(operator, "story books")
