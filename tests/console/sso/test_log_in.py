"""People come in through their organization's own provider, a real one over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
from allauth.account.models import EmailAddress
from django.http import HttpResponse
from django.test import Client, override_settings
from django.utils import timezone

from console.sso import outbound
from tenants import services
from tenants.models import AuditEntry, Membership, Role, SsoDomain, SsoProvider, User
from tests.conftest import PASSWORD, Cast
from tests.console.sso.provider import CLIENT_ID, CLIENT_SECRET, Provider, provider_running

pytestmark = pytest.mark.django_db
NINA = {"sub": "42", "email": "nina@acme.test", "email_verified": True, "name": "Nina Ny"}


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    with provider_running() as provider, override_settings(SSO_PRIVATE=True):
        yield provider


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.person, running.fault = dict(NINA), ""
    return running


@pytest.fixture
def sso(cast: Cast, provider: Provider) -> SsoProvider:
    """Acme's, with the domain acme.test verified."""
    SsoDomain.objects.create(
        organization=cast.acme, name="acme.test", token="t", verified_at=timezone.now()
    )
    return services.sso_set(
        actor=cast.olivia,
        organization=cast.acme,
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        secret=CLIENT_SECRET,
        joins_as=Role.DEVELOPER,
    )


def come_in(client: Client, sso: SsoProvider, query: str = "") -> HttpResponse:
    """Through the provider and back: what a browser is shown at the end."""
    left = client.get(f"/account/sso/{sso.organization_id}/login/{query}")
    assert left.status_code == 302, left.content
    back = requests.get(left["Location"], allow_redirects=False, timeout=5).headers["Location"]
    parts = urlsplit(back)
    answer: HttpResponse = client.get(f"{parts.path}?{parts.query}")  # type: ignore[assignment]
    return answer


def password_typed(user: User) -> Client:
    client = Client()
    client.post("/account/login/", {"login": user.email, "password": PASSWORD})
    return client


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_an_address_leads_to_the_provider_of_its_domain(client: Client, sso: SsoProvider) -> None:
    page = client.post("/account/sso/", {"email": "Anyone@Acme.test"})
    unknown = client.post("/account/sso/", {"email": "anyone@other.test"})

    assert page["Refresh"] == f"0;url=/account/sso/{sso.organization_id}/login/"
    assert "No organization has a provider for this domain" in unknown.text


def test_who_comes_for_the_first_time_becomes_a_member(client: Client, sso: SsoProvider) -> None:
    answer = come_in(client, sso, "?next=/o/acme/usage/")

    assert answer["Location"] == "/o/acme/usage/"
    user = User.objects.get(email="nina@acme.test")
    assert client.session["_auth_user_id"] == str(user.pk)
    assert (user.name, user.has_usable_password()) == ("Nina Ny", False)
    assert Membership.objects.get(user=user).role == Role.DEVELOPER
    assert EmailAddress.objects.get(user=user).verified
    assert AuditEntry.objects.filter(action="session.start", actor=user).exists()
    sso.refresh_from_db()
    assert sso.worked_at is not None


def test_a_member_keeps_the_account_that_was_there(
    client: Client, cast: Cast, sso: SsoProvider, provider: Provider
) -> None:
    provider.person |= {"email": "Max@acme.test", "sub": "7"}
    come_in(client, sso)
    provider.person |= {"email": "max.berg@acme.test"}
    again = Client()
    come_in(again, sso)

    assert client.session["_auth_user_id"] == str(cast.max.pk)
    assert again.session["_auth_user_id"] == str(cast.max.pk)
    assert Membership.objects.filter(user=cast.max).count() == 1


def test_who_was_removed_does_not_come_back_as_a_member(
    sso: SsoProvider, provider: Provider
) -> None:
    come_in(Client(), sso)
    Membership.objects.get(user__email="nina@acme.test").delete()

    come_in(again := Client(), sso)

    assert is_in(again)
    assert not Membership.objects.filter(user__email="nina@acme.test").exists()


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "rita@rival.test"},
        {"email": "nina@sub.acme.test"},
        {"email": "nina@acme.test@evil.test"},
        {"email": ""},
        {"email_verified": False},
    ],
)
def test_only_addresses_at_verified_domains_come_in(
    client: Client, cast: Cast, sso: SsoProvider, provider: Provider, claims: dict[str, object]
) -> None:
    provider.person |= claims
    people = User.objects.count()

    answer = come_in(client, sso)

    assert answer.status_code == 403
    assert not is_in(client)
    assert User.objects.count() == people


def test_a_provider_of_a_customer_lets_in_no_operator(
    client: Client, cast: Cast, sso: SsoProvider, provider: Provider
) -> None:
    User.objects.filter(pk=cast.oskar.pk).update(email="oskar@acme.test")
    EmailAddress.objects.filter(user=cast.oskar).update(email="oskar@acme.test")
    provider.person |= {"email": "oskar@acme.test"}

    assert come_in(client, sso).status_code == 403
    assert not is_in(client)


@pytest.mark.parametrize("fault", ["iss", "aud", "nonce", "exp", "signature"])
def test_a_token_that_is_wrong_anywhere_is_refused(
    client: Client, sso: SsoProvider, provider: Provider, fault: str
) -> None:
    provider.fault = fault

    answer = come_in(client, sso)

    assert answer.status_code == 401
    assert "did not understand each other" in answer.text
    assert not is_in(client)


def test_an_answer_counts_in_the_browser_that_asked_and_once(sso: SsoProvider) -> None:
    mine, theirs = Client(), Client()
    left = mine.get(f"/account/sso/{sso.organization_id}/login/")
    back = requests.get(left["Location"], allow_redirects=False, timeout=5).headers["Location"]
    place = "{0.path}?{0.query}".format(urlsplit(back))

    assert theirs.get(place).status_code == 401
    assert mine.get(place).status_code == 302
    assert Client().get(place).status_code == 401
    assert is_in(mine)
    assert not is_in(theirs)


def test_nothing_of_the_dance_is_taken_from_the_address(
    client: Client, cast: Cast, sso: SsoProvider, provider: Provider
) -> None:
    query = "?auth_params=nonce%3Dmine%26prompt%3Dnone&scope=admin&process=connect&next=//evil.test"

    answer = come_in(client, sso, query)

    assert answer["Location"] == "/"
    assert provider.asked["nonce"] != "mine"
    assert set(provider.asked["scope"].split()) == {"openid", "profile", "email"}
    assert provider.asked["code_challenge_method"] == "S256"


def test_who_must_use_the_provider_is_sent_there_and_owners_keep_a_way(
    cast: Cast, sso: SsoProvider
) -> None:
    come_in(Client(), sso)
    sso.refresh_from_db()
    before = {user.name: password_typed(user) for user in (cast.max, cast.olivia)}
    assert all(map(is_in, before.values()))
    before["Olivia Ek"].post("/o/acme/sign-on/provider/enforce/", {"is_enforced": "1"})
    assert before["Max Berg"].get("/account/").status_code == 302
    assert before["Olivia Ek"].get("/account/").status_code == 200

    answers = {}
    for user in (cast.max, cast.olivia, cast.rita):
        answers[user.name] = (client := Client()).post(
            "/account/login/", {"login": user.email, "password": PASSWORD}
        )
        assert is_in(client) is (user != cast.max), user

    assert answers["Max Berg"]["Location"] == "/account/sso/?email=max%40acme.test"
    come_in(by_provider := Client(), sso)
    assert is_in(by_provider)


def test_who_has_no_other_way_shows_who_they_are_at_the_provider(
    client: Client, sso: SsoProvider, provider: Provider
) -> None:
    come_in(client, sso)
    Membership.objects.update(role=Role.OWNER)
    session = client.session
    session["account_authentication_methods"] = []
    session.save()

    asked = client.get("/o/acme/sign-on/provider/")

    passkey = client.get("/account/2fa/webauthn/add/")

    where = f"/account/sso/{sso.organization_id}/login/"
    assert passkey["Location"] == f"{where}?again=&next=%2Faccount%2F2fa%2Fwebauthn%2Fadd%2F"
    assert asked["Location"] == f"{where}?again=&next=%2Fo%2Facme%2Fsign-on%2Fprovider%2F"
    come_in(client, sso, "?again=&next=/o/acme/sign-on/provider/")
    assert provider.asked["prompt"] == "login"
    assert client.get("/o/acme/sign-on/provider/").status_code == 200


def test_a_provider_is_called_at_public_addresses_and_by_https_alone() -> None:
    with override_settings(SSO_PRIVATE=False):
        for url in ("https://127.0.0.1/", "https://localhost/", "http://example.com/"):
            with pytest.raises(requests.RequestException), outbound.session() as calls:
                calls.get(url)
