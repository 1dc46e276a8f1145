"""The pages of accounts, and a passkey from sign-up to log-in: an authenticator within Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest
from django.core import mail
from django.test import override_settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from tenants.models import Organization, SsoDomain, SsoProvider
from tenants.sealing import seal
from tests.conftest import Cast
from tests.console.sso.provider import CLIENT_ID, CLIENT_SECRET, Provider, provider_running
from tests.e2e.conftest import LogIn, in_server_sight
from tests.e2e.test_pages import axe, listen, look, save

pytestmark = pytest.mark.django_db

PAGES: Final[dict[str, tuple[str, str]]] = {
    # name: who opens it, and its address
    "account log-ins": ("olivia", "/account/sessions/"),
    "account email": ("olivia", "/account/email/"),
    "account password": ("olivia", "/account/password/change/"),
    "account passkeys": ("olivia", "/account/2fa/"),
    "account passkey add": ("olivia", "/account/2fa/webauthn/add/"),
    "account app": ("olivia", "/account/2fa/totp/activate/"),
    "account is it you": ("olivia", "/account/reauthenticate/"),
    "sign-up": ("", "/account/signup/"),
    "sign-up by passkey": ("", "/account/signup/passkey/"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_account_is_sound_in_every_look(name: str, context_of: LogIn) -> None:
    who, address = PAGES[name]
    page = context_of(who).new_page()
    faults = listen(page)
    with override_settings(SIGN_UP_OPEN=True):
        opened = page.goto(address)
    assert opened is not None
    assert opened.status == 200

    look(page, name)

    assert faults == []


def code_mailed_to(address: str) -> str:
    """From the newest mail; the server is this process."""
    body = next(str(one.body) for one in reversed(mail.outbox) if one.to == [address])
    found = re.search(r"^([A-Z0-9-]{6,9})$", body, re.MULTILINE)
    assert found, body
    return found[1]


def test_a_customer_signs_up_by_passkey_and_logs_in_with_it(passkey_page: Page) -> None:
    page = passkey_page
    faults = listen(page)
    with override_settings(SIGN_UP_OPEN=True):
        page.reload()
        page.get_by_role("link", name="Sign up").click()
        page.get_by_role("link", name="Sign up with a passkey").click()
        page.get_by_label("Name").fill("Petra Passkey")
        page.get_by_label("Email").fill("petra@new.test")
        page.get_by_role("button", name="Send the code").click()
        page.get_by_label("Code").fill(code_mailed_to("petra@new.test"))
        assert axe(page) == []
        save(page, "sign-up code")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="Make your passkey")).to_be_visible()
        assert axe(page) == []
        save(page, "sign-up make passkey")
        page.get_by_role("button", name="Make the passkey").click()
        page.wait_for_url(lambda url: "/account/" not in url)

    page.goto(page.url.partition("/")[0] + "//" + page.url.split("/")[2] + "/account/2fa/")
    expect(page.get_by_text("Logs in without a password")).to_be_visible()
    assert axe(page) == []
    save(page, "account passkeys one")
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("button", name="Log out").click()

    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url(lambda url: "/account/" not in url)
    page.goto(page.url.partition("/")[0] + "//" + page.url.split("/")[2] + "/account/")
    expect(page.get_by_text("petra@new.test")).to_be_visible()
    assert faults == []


@pytest.fixture
def provider(people: Cast) -> Iterator[Provider]:
    """Rival's own, over HTTP, with the domain rival.test verified."""
    with provider_running() as provider, override_settings(SSO_PRIVATE=True):
        in_server_sight(offer, organization=people.rival, issuer=provider.issuer)
        yield provider
        in_server_sight(SsoProvider.objects.all().delete)


def offer(*, organization: Organization, issuer: str) -> None:
    SsoDomain.objects.get_or_create(
        organization=organization, name="rival.test", token="t", verified_at=timezone.now()
    )
    SsoProvider.objects.create(
        organization=organization,
        issuer=issuer,
        client_id=CLIENT_ID,
        sealed_secret=seal(CLIENT_SECRET),
    )


def test_a_colleague_logs_in_through_the_organizations_provider(
    context_of: LogIn, provider: Provider
) -> None:
    provider.person = {"sub": "1", "email": "ruth@rival.test", "name": "Ruth Dahl"}
    page = context_of("").new_page()
    faults = listen(page)
    page.goto("/o/rival/usage/")
    page.get_by_role("link", name="Log in through your organization").click()
    page.get_by_label("E-mail").fill("ruth@rival.test")
    page.get_by_role("button", name="Continue").click()

    page.wait_for_url("**/o/rival/usage/")
    expect(page.get_by_text("Ruth Dahl · developer")).to_be_visible()
    assert faults == []
