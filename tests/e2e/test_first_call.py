"""The whole way: a key made in the browser calls the gateway, and the usage page shows the call."""

from __future__ import annotations

import re
import time

import pytest
from openai import AuthenticationError, OpenAI
from openai.types.chat import ChatCompletion
from playwright.sync_api import Page, expect

from billing.ingest import ingest
from tests.conftest import Cast
from tests.e2e.conftest import MODEL, LogIn, in_server_sight
from tests.e2e.test_pages import save
from tests.inference.gateway.conftest import Running, wait_until

pytestmark = pytest.mark.django_db


def test_a_key_made_in_the_browser_works_and_its_call_is_on_the_usage_page(
    people: Cast, context_of: LogIn, gateway: Running
) -> None:
    page = context_of("max").new_page()
    secret = make_key(page, "first call")

    answer = call(gateway, secret)
    in_server_sight(book)

    expect(page.get_by_text("First request received")).to_be_visible(timeout=60_000)
    page.goto("/o/acme/usage/?group=api_key&days=7")
    row = page.get_by_role("row", name=re.compile("^first call"))
    assert answer.usage
    expect(row.get_by_role("cell").nth(1)).to_have_text("1")
    expect(row.get_by_role("cell").nth(2)).to_have_text(str(answer.usage.prompt_tokens))
    expect(row.get_by_role("cell").nth(4)).to_have_text(str(answer.usage.completion_tokens))
    save(page, "first-call-light-1280")


def make_key(page: Page, name: str) -> str:
    page.goto("/o/acme/keys/create/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create key").click()
    return page.locator("#secret").inner_text()


def book() -> None:
    """Do the worker's part, once the gateway has written its record."""
    wait_until(ingest)


def call(gateway: Running, secret: str) -> ChatCompletion:
    """Ask as the page's snippet does; the gateway hears of a new key within moments."""
    deadline = time.monotonic() + 60
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=secret) as client:
        while True:
            try:
                return client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "Hello"}]
                )
            except AuthenticationError:
                assert time.monotonic() < deadline, "the gateway never heard of the key"
                time.sleep(0.1)
