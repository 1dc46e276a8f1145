"""A new customer in a browser, from the sign-up by passkey to the first request, and what the trail
tells of it.
"""

from __future__ import annotations

import re
from typing import Final

import pytest
from django.core import mail
from django.test import override_settings
from openai import OpenAI, PermissionDeniedError
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from tenants.audit.checks import trail_verify
from tests.conftest import Cast
from tests.e2e.conftest import MODEL, LogIn, in_server_sight
from tests.e2e.test_accounts import code_mailed_to
from tests.e2e.test_first_call import book, call
from tests.e2e.test_pages import listen, look, save
from tests.inference.gateway.conftest import Running, wait_until

pytestmark = pytest.mark.django_db

PETRA: Final = "petra@newcomer.test"
NILS: Final = "nils@newcomer.test"
TOLD: Final = (
    "Organization created",
    "Project created",
    "Person invited",
    "Invitation accepted",
    "API key created",
    "API key rotated",
)


def test_a_newcomer_comes_as_far_as_a_first_request_and_the_trail_tells(
    passkey_page: Page,
    context_of: LogIn,
    gateway: Running,
    people: Cast,
    server: LiveServer,
) -> None:
    page = passkey_page
    faults = listen(page)
    home = server.url.replace("127.0.0.1", "localhost")
    with override_settings(SIGN_UP_OPEN=True, CONSOLE_URL=home):
        sign_up(page)
        organization_open(page)
        project_add(page)
        colleague_join(page, context_of)
    key = key_make(page)

    first = call(gateway, key)
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client,
        pytest.raises(PermissionDeniedError),
    ):
        client.chat.completions.create(
            model="gpt-oss-120b", messages=[{"role": "user", "content": "Hello"}]
        )
    second = call(gateway, key_rotate(page))
    in_server_sight(book)
    in_server_sight(trail_verify)

    assert first.id != second.id
    page.goto(f"{home}/o/newcomer/audit/")
    expect(page.get_by_text("Verified to #")).to_be_visible()
    trail = page.get_by_role("region", name="Audit trail")
    for told in TOLD:
        expect(trail.get_by_text(told).first).to_be_visible()
    look(page, "newcomer audit")
    assert faults == []


def sign_up(page: Page, email: str = PETRA) -> None:
    page.reload()
    page.get_by_role("link", name="Sign up").click()
    page.get_by_role("link", name="Sign up with a passkey").click()
    page.get_by_label("Name").fill("Petra Passkey")
    page.get_by_label("Email").fill(email)
    page.get_by_role("button", name="Send the code").click()
    page.get_by_label("Code").fill(code_mailed_to(email))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_role("heading", name="No organization yet")).to_be_visible()


def organization_open(page: Page, name: str = "Newcomer") -> None:
    page.get_by_role("link", name="Create organization").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create organization").click()
    page.wait_for_url(f"**/o/{name.lower()}/")
    save(page, f"{name.lower()} home")


def project_add(page: Page) -> None:
    page.get_by_role("link", name="Projects").first.click()
    page.get_by_role("link", name="Create project").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Search")
    page.get_by_role("dialog").get_by_role("button", name="Create project").click()
    expect(page.get_by_role("link", name="Search", exact=True)).to_be_visible()


def colleague_join(page: Page, context_of: LogIn) -> None:
    """Invited by mail, with an account made from the link."""
    page.get_by_role("link", name="Members").first.click()
    page.get_by_role("link", name="Invite").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("E-mail").fill(NILS)
    dialog.get_by_text("Developer").first.click()
    dialog.get_by_role("button", name="Send invitation").click()
    expect(page.get_by_text(NILS).first).to_be_visible()

    colleague = context_of("").new_page()
    colleague.goto(link_mailed_to(NILS))
    colleague.get_by_role("link", name="Create an account").click()
    colleague.get_by_label("Name").fill("Nils Ny")
    colleague.get_by_label("Password").fill("a quiet harbour town")
    save(colleague, "newcomer colleague")
    colleague.get_by_role("button", name="Sign up").click()
    colleague.get_by_role("button", name="Accept").click()
    expect(colleague.get_by_role("heading", name="Newcomer").first).to_be_visible()


def link_mailed_to(address: str) -> str:
    body = wait_until(
        lambda: next((str(one.body) for one in mail.outbox if one.to == [address]), "")
    )
    found = re.search(r"https?://\S+/invitations/\S+", body)
    assert found, body
    return found[0]


def key_make(page: Page) -> str:
    """One for chats with one model alone."""
    page.get_by_role("link", name="API keys").first.click()
    page.get_by_role("link", name="Create key").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("chat only")
    dialog.get_by_text("What it may do, and from where").click()
    dialog.get_by_label("Chat", exact=True).check()
    dialog.get_by_label(MODEL, exact=True).check()
    dialog.get_by_role("button", name="Create key").click()
    secret = dialog.locator("#secret").inner_text()
    dialog.get_by_role("link", name="I have saved the key").click()
    return secret


def key_rotate(page: Page) -> str:
    page.get_by_role("link", name="chat only").click()
    page.get_by_role("link", name="Rotate…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Make new secret").click()
    secret = dialog.locator("#secret").inner_text()
    dialog.get_by_role("link", name="I have saved the key").click()
    return secret
