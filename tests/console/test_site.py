"""Probes, the theme, the front door, logging in, and error pages."""

from __future__ import annotations

import re

import pytest
import redis
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from console.views import site
from tenants import services
from tenants.models import Membership, Role, User
from tests.conftest import PASSWORD, Cast


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_answers_ok(client: Client, db: None, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert response.content == b"ok\n"


def test_readyz_names_the_store_that_does_not_answer(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(site, "client", lambda: dead)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.content == b"no answer: valkey\n"


@pytest.mark.parametrize(
    ("sent", "status"), [("", 401), ("Bearer wrong", 401), ("Bearer scrape-me", 200)]
)
def test_metrics_ask_for_the_token_where_one_is_set(
    client: Client, db: None, sent: str, status: int
) -> None:
    with override_settings(METRICS_TOKEN="scrape-me"):
        assert client.get("/metrics", headers={"Authorization": sent}).status_code == status


def test_metrics_are_prometheus_text(client: Client, db: None) -> None:
    client.get("/healthz")

    response = client.get("/metrics")

    assert b"sluice_console_request_seconds" in response.content


def test_the_theme_switches_and_stays(client: Client, cast: Cast) -> None:
    response = client.post("/theme/", {"next": "/account/login/"})

    assert response["Location"] == "/account/login/"
    assert client.cookies["theme"].value == "dark"
    assert b'data-bs-theme="dark"' in client.get("/account/login/").content
    client.post("/theme/")
    assert b'data-bs-theme="light"' in client.get("/account/login/").content


def test_the_theme_never_sends_anyone_to_another_site(client: Client, db: None) -> None:
    response = client.post("/theme/", {"next": "https://evil.test/"})

    assert response["Location"] == "/"


def test_the_front_door_leads_each_person_to_their_pages(client: Client, cast: Cast) -> None:
    assert client.get("/")["Location"] == "/account/login/?next=/"
    client.force_login(cast.oskar)
    assert client.get("/")["Location"] == "/operator/"
    client.force_login(cast.max)
    assert client.get("/")["Location"] == "/o/acme/"
    client.force_login(User.objects.create_user("new@nowhere.test", PASSWORD))
    page = client.get("/")
    assert page.status_code == 200
    assert "No organization yet" in page.text


def test_logging_in_with_email_and_password_opens_home(client: Client, cast: Cast) -> None:
    response = client.post(
        "/account/login/", {"login": "olivia@acme.test", "password": PASSWORD}, follow=True
    )

    assert response.redirect_chain[-1][0] == "/o/acme/"


def test_a_wrong_password_keeps_the_address_and_says_so(client: Client, cast: Cast) -> None:
    page = client.post("/account/login/", {"login": "olivia@acme.test", "password": "wrong"})

    assert 'value="olivia@acme.test"' in page.text
    assert "errorlist" in page.text
    assert "wrong" not in page.text


def test_no_page_of_accounts_offers_sign_up(client: Client, cast: Cast) -> None:
    for path in ("/account/login/", "/account/password/reset/", "/account/signup/"):
        assert "signup" not in client.get(path).text.replace("/account/signup/", "", 0).lower()
    assert client.post("/account/signup/", {"email": "a@b.test"}).status_code == 200


def test_a_forgotten_password_is_reset_by_mail(
    client: Client, cast: Cast, mailoutbox: list[object], commits_at_once: None
) -> None:
    client.post("/account/password/reset/", {"email": "olivia@acme.test"})
    link = _link_in(mailoutbox[0])
    form = client.get(link, follow=True)
    done = client.post(
        form.request["PATH_INFO"],
        {"password1": "another good passphrase", "password2": "another good passphrase"},
        follow=True,
    )

    assert "Password changed" in done.text
    assert client.login(email="olivia@acme.test", password="another good passphrase")
    assert "This link no longer works" in Client().get(link, follow=True).text


def _link_in(mail: object) -> str:
    found = re.search(r"/account/password/reset/key/\S+", str(getattr(mail, "body", "")))
    assert found
    return found[0]


def test_a_member_of_two_organizations_can_switch(client: Client, cast: Cast) -> None:
    client.force_login(cast.max)
    assert "/o/rival/" not in client.get("/o/acme/").text

    services.member_add(actor=None, organization=cast.rival, user=cast.max, role=Role.AUDITOR)

    assert 'href="/o/rival/"' in client.get("/o/acme/").text


def test_a_page_that_is_not_there_looks_like_the_product(client: Client, cast: Cast) -> None:
    client.force_login(cast.olivia)

    page = client.get("/o/rival/keys/")

    assert page.status_code == 404
    assert "No such page" in page.text


def test_a_refused_page_says_which_role_may_and_who_can_change_it(
    client: Client, cast: Cast
) -> None:
    Membership.objects.filter(user=cast.max).update(role=Role.AUDITOR)
    client.force_login(cast.max)

    page = client.get("/o/acme/keys/create/")

    assert page.status_code == 403
    assert "Your role in Acme is auditor." in page.text
    assert "owner, admin, developer" in page.text
    assert "Olivia Ek" in page.text


def test_a_refusal_outside_an_organization_names_nobody(cast: Cast) -> None:
    request = RequestFactory().get("/")
    request.resolver_match = None

    response = site.permission_denied(request, PermissionDenied())

    assert response.status_code == 403


def test_a_fault_is_drawn_without_the_database() -> None:
    request = RequestFactory().get("/", headers={"cookie": "theme=dark"})

    response = site.server_error(request)

    assert response.status_code == 500
    assert 'data-bs-theme="dark"' in response.text
    assert "Sluice" in response.text
    assert connection.connection is None or not connection.in_atomic_block


def test_a_form_without_a_token_gets_a_page_that_explains(cast: Cast) -> None:
    page = Client(enforce_csrf_checks=True).post("/account/login/", {"login": "x"})

    assert page.status_code == 403
    assert "This form is too old" in page.text
