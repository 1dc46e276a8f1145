"""Setting up single sign-on: what is wrong is said, and nothing half done stays."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.core.exceptions import ValidationError
from django.test import Client, override_settings
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.sso import dns
from tenants import services
from tenants.models import AuditEntry, Organization, Role, SsoDomain, SsoProvider
from tenants.services.sso import domain_clean
from tests.conftest import PASSWORD, Cast
from tests.console.log_in import log_in_freshly
from tests.console.sso.provider import CLIENT_SECRET, Provider, provider_running

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/sign-on/"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with provider_running() as provider, override_settings(SSO_PRIVATE=True):
        yield provider


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


def typed(provider: Provider, **changes: str) -> dict[str, str]:
    usual = {"client_id": "sluice", "secret": CLIENT_SECRET, "joins_as": Role.DEVELOPER}
    return {"issuer": provider.issuer, **usual, **changes}


def verified(organization: Organization, name: str = "acme.test") -> SsoDomain:
    return SsoDomain.objects.create(
        organization=organization, name=name, token="t", verified_at=timezone.now()
    )


def test_a_provider_is_set_up_and_its_secret_sealed(olivia: Client, provider: Provider) -> None:
    answer = olivia.post(f"{PAGE}provider/", typed(provider), follow=True)

    sso = SsoProvider.objects.get()
    assert provider.issuer in answer.text
    assert CLIENT_SECRET.encode() not in bytes(sso.sealed_secret)
    assert CLIENT_SECRET not in answer.text + olivia.get(f"{PAGE}provider/").text
    entry = AuditEntry.objects.get(action="sso.set")
    assert CLIENT_SECRET not in str(entry.data)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": "http://127.0.0.1:9"}, "No provider answers there"),
        ({"issuer": "https://nowhere.invalid"}, "No provider answers there"),
        ({"secret": ""}, "required"),
        ({"joins_as": "owner"}, "not one of the available choices"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(
    olivia: Client, provider: Provider, changes: dict[str, str], said: str
) -> None:
    answer = olivia.post(f"{PAGE}provider/", typed(provider, **changes))

    assert answer.status_code == 422
    assert said in answer.text
    assert not SsoProvider.objects.exists()


def test_an_issuer_must_call_itself_what_was_typed(olivia: Client, provider: Provider) -> None:
    provider.fault = "discovery"
    lies = olivia.post(f"{PAGE}provider/", typed(provider))
    provider.fault = ""
    slash = olivia.post(f"{PAGE}provider/", typed(provider, issuer=provider.issuer + "/"))

    assert "another issuer" in lies.text
    assert "another issuer" in slash.text


@pytest.mark.parametrize(
    "issuer", ["https://127.0.0.1", "https://169.254.169.254", "http://example.com", "ftp://x"]
)
def test_an_issuer_within_our_own_network_is_refused(olivia: Client, issuer: str) -> None:
    with override_settings(SSO_PRIVATE=False):
        answer = olivia.post(f"{PAGE}provider/", {"issuer": issuer, "client_id": "x"})

    assert answer.status_code == 422
    assert not SsoProvider.objects.exists()


def test_another_issuer_needs_its_own_secret_and_has_to_work_first(
    olivia: Client, provider: Provider, cast: Cast
) -> None:
    SsoProvider.objects.create(
        organization=cast.acme,
        issuer="https://old.test",
        client_id="x",
        sealed_secret=b"old",
        is_enforced=True,
        worked_at=timezone.now(),
    )

    answer = olivia.post(f"{PAGE}provider/", typed(provider, secret=""))
    assert "Another issuer needs a secret of its own" in answer.text
    olivia.post(f"{PAGE}provider/", typed(provider))

    sso = SsoProvider.objects.get()
    assert (sso.issuer, sso.is_enforced, sso.worked_at) == (provider.issuer, False, None)


def test_a_domain_is_verified_by_its_txt_record(
    olivia: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    olivia.post(f"{PAGE}domains/add/", {"name": " Acme.Test. "})
    domain = SsoDomain.objects.get()
    assert f"sluice-verification={domain.token}" in olivia.get(PAGE).text
    records: dict[str, list[str]] = {"_sluice.acme.test": ["sluice-verification=another"]}
    monkeypatch.setattr(dns, "texts_at", lambda name: records.get(name, []))

    early = olivia.post(f"{PAGE}domains/{domain.pk}/verify/", follow=True)
    assert "holds the proof yet" in early.text
    records["_sluice.acme.test"].append(f"sluice-verification={domain.token}")
    verified(cast.acme, "acme.example")
    SsoProvider.objects.create(
        organization=cast.acme, issuer="https://id.acme.test", is_enforced=True
    )
    max_ = Client()
    max_.post("/account/login/", {"login": cast.max.email, "password": PASSWORD})
    assert max_.get("/account/").status_code == 200
    olivia.post(f"{PAGE}domains/{domain.pk}/verify/")
    assert max_.get("/account/").status_code == 302, "he must come through the provider now"
    assert olivia.get("/account/").status_code == 200, "an owner may have to repair it"

    domain.refresh_from_db()
    assert domain.verified_at is not None
    assert AuditEntry.objects.filter(action="sso.verify_domain").count() == 1


@given(name=st.from_regex(r"[a-zA-Z0-9.\-]{1,40}") | st.text(max_size=60))
def test_only_domains_become_domains(name: str) -> None:
    try:
        sound = domain_clean(name)
    except ValidationError:
        return
    assert domain_clean(sound) == sound
    assert re.fullmatch(r"([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])(\.[a-z0-9-]+)*\.[a-z]+", sound)


@pytest.mark.parametrize(
    "name", ["com", "-a.test", "a..test", "a.test/x", "аcme.test", "a b.test", "x.123", "@a.test"]
)
def test_what_is_no_domain_is_refused(olivia: Client, name: str) -> None:
    answer = olivia.post(f"{PAGE}domains/add/", {"name": name})

    assert "This is no domain" in answer.text
    assert not SsoDomain.objects.exists()


def test_a_domain_belongs_to_one_organization(cast: Cast) -> None:
    verified(cast.rival)
    mine = services.sso_domain_add(actor=cast.olivia, organization=cast.acme, name="acme.test")

    with pytest.raises(ValidationError, match="Another organization has verified"):
        services.sso_domain_verify(
            actor=cast.olivia, domain=mine, texts_at=lambda _: [services.PROOF + mine.token]
        )

    mine.refresh_from_db()
    assert mine.verified_at is None


def test_only_what_has_worked_becomes_the_only_way_in(olivia: Client, cast: Cast) -> None:
    sso = SsoProvider.objects.create(
        organization=cast.acme, issuer="https://a.test", client_id="x", sealed_secret=b"x"
    )

    untried = olivia.post(f"{PAGE}provider/enforce/", {"is_enforced": "1"}, follow=True)
    SsoProvider.objects.update(worked_at=timezone.now())
    domainless = olivia.post(f"{PAGE}provider/enforce/", {"is_enforced": "1"}, follow=True)
    domain = verified(cast.acme)
    olivia.post(f"{PAGE}provider/enforce/", {"is_enforced": "1"})
    last = olivia.post(f"{PAGE}domains/{domain.pk}/remove/", follow=True)

    assert "so that it is known to work" in untried.text
    assert "Verify a domain first" in domainless.text
    assert "this is its last domain" in last.text
    sso.refresh_from_db()
    assert sso.is_enforced
    olivia.post(f"{PAGE}provider/remove/")
    olivia.post(f"{PAGE}domains/{domain.pk}/remove/")
    assert not SsoProvider.objects.exists()
    assert not SsoDomain.objects.exists()


def test_an_owner_asks_every_member_for_a_second_factor(olivia: Client, cast: Cast) -> None:
    olivia.post(f"{PAGE}second-factor/", {"is_required": "1"})
    cast.acme.refresh_from_db()

    assert cast.acme.requires_second_factor
    assert AuditEntry.objects.filter(action="organization.set_second_factor").count() == 1
