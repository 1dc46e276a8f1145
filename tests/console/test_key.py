"""The page of one API key, and what can be done to it: scopes, its end, rotation, its leak."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from console.key_mails import keys_warn, leaks_mail
from inference.models import Model
from tenants import keys as tokens
from tenants import services
from tenants.models import (
    AdminKey,
    ApiKey,
    AuditEntry,
    KeyLeak,
    LeakSource,
    Organization,
    RetiringSecret,
)
from tenants.services import KeyScope
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly

type OnCommit = Callable[..., Any]


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


@pytest.fixture
def model(db: None) -> Model:
    return Model.objects.create(
        public_id="acme/tiny", name="Tiny", tasks=["chat"], context_tokens=2048, is_enabled=True
    )


def page_of(api_key: ApiKey) -> str:
    return f"/o/acme/keys/{api_key.pk}/"


def create(client: Client, cast: Cast, **fields: object) -> Any:
    form = {"name": "job", "project": str(cast.project.pk), "expires": "365"} | fields
    return client.post("/o/acme/keys/create/", form)


def test_a_new_key_has_its_scope_and_ends_in_a_year(
    olivia: Client, cast: Cast, model: Model
) -> None:
    scope = {"tasks": ["chat", "embedding"], "models": ["acme/tiny"]}
    response = create(olivia, cast, **scope, networks="203.0.113.7, 2001:db8::/48\n203.0.113.7")

    key = ApiKey.objects.get(name="job")
    assert tokens.PATTERN.search(response.text)
    assert (key.allowed_tasks, key.allowed_models) == (["chat", "embedding"], ["acme/tiny"])
    assert key.allowed_networks == ["203.0.113.7/32", "2001:db8::/48"]
    assert key.days_left == 365
    page = olivia.get(page_of(key)).text
    for said in ("Chat, Embedding", "acme/tiny", "203.0.113.7/32, 2001:db8::/48", "Not used yet"):
        assert said in page


def test_a_key_can_end_after_a_day_or_never(olivia: Client, cast: Cast) -> None:
    create(olivia, cast, name="on", expires="on", expires_on="2030-02-28")
    create(olivia, cast, name="never", expires="never")

    assert ApiKey.objects.get(name="on").expires_at == datetime(2030, 3, 1, tzinfo=UTC)
    assert ApiKey.objects.get(name="never").expires_at is None


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        ("203.0.113.7/24", "Did you mean 203.0.113.0/24?"),
        ("10.0.0.0/33", "“10.0.0.0/33” is no network"),
        ("example.com", "“example.com” is no network"),
        ("0.0.0.0/0", "0.0.0.0/0 is every address"),
        ("::/0", "::/0 is every address"),
        ("::ffff:10.0.0.1", "is IPv4 within IPv6"),
        ("10.0.0.1-10.0.0.9", "is no network"),
        (" ".join(f"10.0.0.{n}" for n in range(101)), "Enter at most 100 networks."),
    ],
)
def test_nonsense_for_a_network_is_refused_with_the_reason(
    olivia: Client, cast: Cast, networks: str, said: str
) -> None:
    response = create(olivia, cast, networks=networks)

    assert response.status_code == 422
    assert said in response.text
    assert "<details" in response.text
    assert "open>" in response.text
    assert not ApiKey.objects.filter(name="job").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"expires": "on"}, "Choose the last day."),
        ({"expires": "on", "expires_on": "2020-01-01"}, "This day is over."),
        ({"name": "two\u202elines"}, "without hidden signs"),
        ({"tasks": ["mine"]}, "mine is not one of the available choices"),
        ({"models": ["no/such"]}, "no/such is not one of the available choices"),
    ],
)
def test_what_else_cannot_be_says_why(
    olivia: Client, cast: Cast, fields: dict[str, object], said: str
) -> None:
    response = create(olivia, cast, **fields)

    assert response.status_code == 422
    assert said in response.text


def test_a_key_is_made_only_by_who_has_just_logged_in(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia, age_s=600)

    for act in ("edit/", "rotate/", "revoke/"):
        assert client.get(page_of(cast.key.api_key) + act).status_code == 302
    assert create(client, cast).status_code == 302
    assert not ApiKey.objects.filter(name="job").exists()


def test_a_key_of_a_service_account_is_in_its_project(olivia: Client, cast: Cast) -> None:
    account = services.service_account_create(actor=None, project=cast.project, name="indexer")
    other = services.project_create(actor=None, organization=cast.acme, name="Other")

    refused = create(olivia, cast, owner=str(account.pk), project=str(other.pk))
    create(olivia, cast, owner=str(account.pk))

    assert "belongs to another project" in refused.text
    assert ApiKey.objects.get(name="job").service_account == account


def test_changing_a_key_keeps_its_secret_and_tells_what_changed(
    olivia: Client, cast: Cast, model: Model
) -> None:
    key, address = cast.key.api_key, page_of(cast.key.api_key) + "edit/"
    fields = {"name": "Acme two", "expires": "30", "models": ["acme/tiny"], "networks": ""}

    assert "Acme production" in olivia.get(address).text
    assert olivia.post(address, fields)["Location"] == page_of(key)

    before, key = key, ApiKey.objects.get(pk=key.pk)
    assert bytes(key.digest) == bytes(before.digest)
    assert (key.name, key.days_left, key.allowed_models) == ("Acme two", 30, ["acme/tiny"])
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="api_key.change")
    assert entry.data["before"] == {
        "name": "Acme production", "expires_at": None, "models": [],
    }  # fmt: skip
    assert entry.data["after"].keys() == entry.data["before"].keys()


def test_a_model_that_is_gone_stays_in_the_scope(olivia: Client, cast: Cast) -> None:
    """Else to save the form would let the key call everything."""
    scope = KeyScope(models=["gone/model"])
    key = services.api_key_create(actor=None, project=cast.project, name="old", scope=scope).api_key
    address = page_of(key) + "edit/"

    assert 'value="gone/model"' in olivia.get(address).text
    olivia.post(address, {"name": "old", "expires": "never", "models": ["gone/model"]})

    key.refresh_from_db()
    assert key.allowed_models == ["gone/model"]


def test_rotating_shows_the_new_secret_once_and_the_old_one_retiring(
    olivia: Client, cast: Cast
) -> None:
    key, old = cast.key.api_key, cast.key.secret
    seen_at = timezone.now() - timedelta(hours=3)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=seen_at, last_network="203.0.113.0/24")
    response = olivia.post(page_of(key) + "rotate/", {"overlap": "24"})

    found = tokens.PATTERN.search(response.text)
    assert found
    assert found[0] != old
    assert "no-store" in response["Cache-Control"]
    before, key = key, ApiKey.objects.get(pk=key.pk)
    assert bytes(key.digest) == tokens.key_digest(found[0])
    assert key.hint != before.hint
    retiring = RetiringSecret.objects.get(api_key=key)
    assert bytes(retiring.digest) == tokens.key_digest(old)
    assert retiring.until - timezone.now() > timedelta(hours=23, minutes=59)
    page = olivia.get(page_of(key)).text
    for said in ("Retiring", before.hint, "203.0.113.0/24", "End now"):
        assert said in page
    assert found[0] not in page
    assert "Old secret retiring" in olivia.get("/o/acme/keys/").text


def test_the_old_secret_can_be_ended_early(olivia: Client, cast: Cast) -> None:
    key = cast.key.api_key
    services.api_key_rotate(actor=None, api_key=key)

    olivia.post(page_of(key) + "end-retiring/")

    assert not RetiringSecret.objects.exists()
    assert AuditEntry.objects.filter(action="api_key.end_retiring").count() == 1
    assert ApiKey.objects.get(pk=key.pk).is_active


def test_a_revoked_key_can_neither_be_changed_nor_rotated(olivia: Client, cast: Cast) -> None:
    key = services.api_key_revoke(actor=None, api_key=cast.key.api_key)

    for act, fields in (
        ("edit/", {"name": "x", "expires": "never"}),
        ("rotate/", {"overlap": "1"}),
    ):
        response = olivia.post(page_of(key) + act, fields)
        assert response.status_code == 422
        assert "This key is revoked." in response.text


def test_another_organizations_key_is_not_found(olivia: Client, cast: Cast) -> None:
    address = page_of(cast.rival_key.api_key)
    for act in ("", "edit/", "rotate/"):
        assert olivia.get(address + act).status_code == 404
    assert olivia.post(address + "end-retiring/").status_code == 404


def ends_in(cast: Cast, **age: float) -> ApiKey:
    new = services.api_key_create(actor=cast.max, project=cast.project, name="short")
    expires_at = timezone.now() + timedelta(**age)
    ApiKey.objects.filter(pk=new.api_key.pk).update(expires_at=expires_at)
    return ApiKey.objects.get(pk=new.api_key.pk)


def test_people_are_told_30_7_and_1_days_before_a_key_ends_each_once(
    cast: Cast, django_capture_on_commit_callbacks: OnCommit
) -> None:
    key, told = ends_in(cast, days=31), list[str]()
    for days in (31, 30, 29, 8, 7, 6.5, 1, 0.5, -1):
        ApiKey.objects.filter(pk=key.pk).update(
            expires_at=timezone.now() + timedelta(days=days, seconds=-5)
        )
        for _ in range(2):
            with django_capture_on_commit_callbacks(execute=True):
                keys_warn()
        told += [f"{days}: {one.subject}" for one in mail.outbox]
        assert {to for one in mail.outbox for to in one.to} <= {cast.max.email}
        mail.outbox.clear()
    assert told == [
        "30: Acme: the key “short” expires in 30 days",
        "7: Acme: the key “short” expires in 7 days",
        "1: Acme: the key “short” expires within a day",
    ]


def test_a_key_made_for_a_week_is_told_of_once_in_its_last_day(
    olivia: Client, cast: Cast, django_capture_on_commit_callbacks: OnCommit
) -> None:
    create(olivia, cast, expires="7")
    with django_capture_on_commit_callbacks(execute=True):
        keys_warn()
    assert mail.outbox == []
    ApiKey.objects.filter(name="job").update(expires_at=timezone.now() + timedelta(hours=20))
    with django_capture_on_commit_callbacks(execute=True):
        keys_warn()
    assert [one.to for one in mail.outbox] == [[cast.olivia.email]]


def test_owners_are_told_of_a_key_that_is_nobodys(
    cast: Cast, django_capture_on_commit_callbacks: OnCommit
) -> None:
    key = ends_in(cast, days=5)
    cast.max.memberships.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        keys_warn()
    assert [one.to for one in mail.outbox] == [[cast.olivia.email]]
    assert key.hint in mail.outbox[0].body


def test_a_key_that_ends_soon_is_shown_in_the_list(olivia: Client, cast: Cast) -> None:
    ends_in(cast, days=6.5)
    page = olivia.get("/o/acme/keys/").text
    assert "Expires in 7 d" in page
    assert "1 key expires within 30 days." in page


def test_an_expired_key_is_in_a_list_of_its_own(olivia: Client, cast: Cast) -> None:
    ends_in(cast, seconds=-1)
    assert "short" not in olivia.get("/o/acme/keys/").text
    page = olivia.get("/o/acme/keys/?state=expired").text
    assert "short" in page
    assert "Expired" in page


def test_who_shows_a_key_may_revoke_it_and_its_people_are_told(
    client: Client, cast: Cast, django_capture_on_commit_callbacks: OnCommit
) -> None:
    answer = client.post("/leaked-key/", {"secret": cast.key.secret, "url": "a wiki"})

    assert "works no more" in answer.text
    assert "Acme" not in answer.text
    key = ApiKey.objects.get(pk=cast.key.api_key.pk)
    assert not key.is_active
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="api_key.revoke")
    assert entry.reason == "leaked"
    with django_capture_on_commit_callbacks(execute=True):
        assert (leaks_mail(), leaks_mail()) == (1, 0)
    (told,) = mail.outbox
    assert told.to == [cast.olivia.email]
    assert "a wiki" in told.body
    assert cast.key.secret not in told.body
    assert "leaked: it was reported" in log_in_freshly(client, cast.olivia).get(page_of(key)).text


def test_junk_and_unknown_keys_revoke_nothing(client: Client, cast: Cast) -> None:
    junk = client.post("/leaked-key/", {"secret": cast.key.secret[:-1] + "!"})
    unknown = client.post("/leaked-key/", {"secret": tokens.key_mint()})

    assert (junk.status_code, unknown.status_code) == (422, 200)
    assert "its checksum does not fit" in junk.text
    assert "No key of ours" in unknown.text
    assert not KeyLeak.objects.exists()


def test_a_leaked_secret_that_retires_leaves_the_new_one_alone(cast: Cast) -> None:
    services.api_key_rotate(actor=None, api_key=cast.key.api_key)

    assert services.key_leak_report(secret=cast.key.secret, source=LeakSource.HOLDER)

    assert ApiKey.objects.get(pk=cast.key.api_key.pk).is_active
    assert not RetiringSecret.objects.exists()
    assert KeyLeak.objects.get().api_key == cast.key.api_key


def test_a_second_report_of_a_leak_tells_nobody_again(cast: Cast) -> None:
    for _ in range(2):
        assert services.key_leak_report(secret=cast.key.secret, source=LeakSource.SCANNER)
    assert KeyLeak.objects.count() == 1


def test_the_published_rule_finds_keys_of_both_kinds(client: Client) -> None:
    rule = tomllib.loads(client.get("/gitleaks.toml").text)["rules"][0]
    for prefix in (tokens.PREFIX, tokens.ADMIN_PREFIX):
        key = tokens.key_mint(prefix)
        found = re.search(rule["regex"], f'API_KEY="{key}"')
        assert found
        assert found[rule["secretGroup"]] == key
        assert any(word in key for word in rule["keywords"])
    assert tokens.PATTERN.pattern in rule["regex"]


def test_an_admin_key_is_made_shown_once_listed_and_revoked(olivia: Client, cast: Cast) -> None:
    response = olivia.post(
        "/o/acme/admin-keys/create/", {"name": "terraform", "may_write": "on", "expires": "90"}
    )

    found = tokens.PATTERN.search(response.text)
    assert found
    assert found[0].startswith("sluice_ak_")
    key = services.admin_key_find(found[0])
    assert key
    assert (key.organization, key.may_write, key.days_left) == (cast.acme, True, 90)
    page = olivia.get("/o/acme/admin-keys/").text
    assert "terraform" in page
    assert found[0] not in page
    olivia.post(f"/o/acme/admin-keys/{key.pk}/revoke/")
    assert services.admin_key_find(found[0]) is None
    assert AuditEntry.objects.filter(action="admin_key.revoke").count() == 1


def test_an_api_key_is_no_admin_key(cast: Cast) -> None:
    assert services.admin_key_find(cast.key.secret) is None
    assert services.admin_key_find("sluice_ak_junk") is None


def test_admin_keys_are_for_owners_and_admins(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.max)
    assert client.get("/o/acme/admin-keys/").status_code == 403
    assert client.post("/o/acme/admin-keys/create/", {"name": "x"}).status_code == 403
    assert not AdminKey.objects.exists()


def unused(cast: Cast, name: str, days: int) -> ApiKey:
    key = services.api_key_create(actor=cast.max, project=cast.project, name=name).api_key
    ApiKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - timedelta(days=days))
    return key


def test_many_are_revoked_only_after_they_were_shown(olivia: Client, cast: Cast) -> None:
    stale, older = unused(cast, "stale", 91), unused(cast, "older", 200)
    address = "/o/acme/keys/revoke/?unused=90"

    page = olivia.get(address).text
    assert "2 active keys found" in page
    assert "Acme production" not in page
    assert ApiKey.objects.for_organization(cast.acme).active().count() == 3
    olivia.post(address, {"key": [str(stale.pk), str(cast.rival_key.api_key.pk)]})

    active = ApiKey.objects.active()
    assert set(active) == {cast.key.api_key, older, cast.rival_key.api_key}
    acts = AuditEntry.objects.filter(action__in=["api_key.revoke", "api_key.bulk_revoke"])
    assert [entry.action for entry in acts.order_by("id")] == [
        "api_key.revoke", "api_key.bulk_revoke",
    ]  # fmt: skip


def test_a_search_for_keys_asks_for_something(olivia: Client, cast: Cast) -> None:
    page = olivia.get("/o/acme/keys/revoke/").text
    assert "Acme production" not in page
    found = olivia.get(f"/o/acme/keys/revoke/?person={cast.olivia.pk}").text
    assert "Acme production" in found
    assert 'name="key"' not in olivia.get("/o/acme/keys/revoke/?person=999999").text
    assert olivia.post("/o/acme/keys/revoke/", {"key": ["nonsense"]}).status_code == 200


def test_the_keys_of_people_end_with_them_where_the_organization_wants_it(
    olivia: Client, cast: Cast
) -> None:
    account = services.service_account_create(actor=None, project=cast.project, name="indexer")
    own = services.api_key_create(actor=cast.max, project=cast.project, name="own").api_key
    kept = services.api_key_create(
        actor=cast.max, project=cast.project, name="kept", service_account=account
    ).api_key
    olivia.post("/o/acme/keys/policy/", {})
    off = Organization.objects.get(pk=cast.acme.pk)
    assert services.api_keys_end(actor=None, organization=off, user=cast.max) == 0

    olivia.post("/o/acme/keys/policy/", {"end": "on"})
    on = Organization.objects.get(pk=cast.acme.pk)
    services.api_keys_end(actor=None, organization=on, user=cast.max)

    assert not ApiKey.objects.get(pk=own.pk).is_active
    assert ApiKey.objects.get(pk=kept.pk).is_active
    assert ApiKey.objects.get(pk=cast.key.api_key.pk).is_active
    assert AuditEntry.objects.filter(action="organization.set_keys_end").count() == 2
