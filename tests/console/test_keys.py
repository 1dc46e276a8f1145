"""The pages of API keys: list, make, show once, revoke."""

from __future__ import annotations

import re

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from billing.models import Dunning, DunningStage
from console.views import keys as views
from tenants import keys as tokens
from tenants import services
from tenants.models import ApiKey, AuditEntry, Membership, Role
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.usage_rows import used

HTMX = {"HX-Request": "true"}


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


def test_the_list_shows_the_organizations_own_active_keys(olivia: Client, cast: Cast) -> None:
    revoked = services.api_key_create(actor=cast.olivia, project=cast.project, name="Old one")
    services.api_key_revoke(actor=cast.olivia, api_key=revoked.api_key)

    page = olivia.get("/o/acme/keys/").text

    assert "Acme production" in page
    assert "Old one" not in page
    assert "Rival key" not in page
    assert "Old one" in olivia.get("/o/acme/keys/?state=revoked").text
    assert "Old one" in olivia.get("/o/acme/keys/?state=all").text


def test_an_unknown_filter_or_place_in_the_list_is_not_found(olivia: Client) -> None:
    assert olivia.get("/o/acme/keys/?state=stolen").status_code == 404
    assert olivia.get("/o/acme/keys/?before=nonsense").status_code == 404


def test_a_long_list_goes_on_where_the_page_ended(
    olivia: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE_ROWS", 2)
    for number in range(4):
        services.api_key_create(actor=cast.olivia, project=cast.project, name=f"key {number}")
    seen, address = [], "/o/acme/keys/"
    while address:
        page = olivia.get(address).text
        seen += re.findall(r'class="st" href="[^"]+">([^<]+)<', page)
        older = re.search(r'href="(\?[^"]*before=[^"]*)"', page)
        address = "/o/acme/keys/" + older[1] if older else ""

    assert seen == ["key 3", "key 2", "key 1", "key 0", "Acme production"]


def test_the_list_counts_the_requests_of_the_last_day(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, timezone.now(), requests=1234)

    assert "1\u2009234" in olivia.get("/o/acme/keys/").text


def test_an_empty_list_says_what_a_key_is_for(olivia: Client, cast: Cast) -> None:
    services.api_key_revoke(actor=cast.olivia, api_key=cast.key.api_key)

    assert "A key lets your code call the API." in olivia.get("/o/acme/keys/").text


def test_a_new_key_is_shown_in_one_response_and_nowhere_else(olivia: Client, cast: Cast) -> None:
    response = olivia.post(
        "/o/acme/keys/create/",
        {"name": "search, production", "project": str(cast.project.id), "expires": "365"},
    )

    found = tokens.PATTERN.search(response.text)
    assert found
    key = ApiKey.objects.get(name="search, production")
    assert bytes(key.digest) == tokens.key_digest(found[0])
    assert key.created_by == cast.olivia
    assert "no-store" in response["Cache-Control"]
    assert "OpenAI(base_url=" in response.text
    assert found[0] not in olivia.get("/o/acme/keys/").text
    assert found[0] not in str(dict(olivia.session))
    assert list(get_messages(response.wsgi_request)) == []
    entries = AuditEntry.objects.for_organization(cast.acme)
    assert all(found[0] not in str(entry.data) for entry in entries)


def test_a_bad_form_comes_back_with_the_message_and_what_was_typed(
    olivia: Client, cast: Cast
) -> None:
    response = olivia.post("/o/acme/keys/create/", {"name": "x" * 101, "project": "nonsense"})

    assert response.status_code == 422
    assert "x" * 101 in response.text
    assert "at most 100 characters" in response.text
    assert 'aria-invalid="true"' in response.text
    assert ApiKey.objects.for_organization(cast.acme).count() == 1


def test_a_key_cannot_be_made_in_anothers_project(olivia: Client, cast: Cast) -> None:
    response = olivia.post(
        "/o/acme/keys/create/",
        {"name": "sneaky", "project": str(cast.rival_project.id), "expires": "365"},
    )

    assert response.status_code == 422
    assert "Secret" not in response.text
    assert not ApiKey.objects.filter(name="sneaky").exists()


def test_htmx_gets_the_part_that_goes_into_the_dialog(olivia: Client) -> None:
    part = olivia.get("/o/acme/keys/create/", headers=HTMX).text

    assert part.strip().startswith("<form")
    assert "<html" in olivia.get("/o/acme/keys/create/").text


@pytest.mark.parametrize("role", [Role.BILLING, Role.AUDITOR])
def test_who_may_only_look_sees_no_button_and_is_refused(
    client: Client, cast: Cast, role: Role
) -> None:
    Membership.objects.filter(user=cast.max).update(role=role)
    log_in_freshly(client, cast.max)

    page = client.get("/o/acme/keys/").text

    assert "Acme production" in page
    assert "Create key" not in page
    assert "Revoke many…" not in page
    assert "Revoke…" not in client.get(f"/o/acme/keys/{cast.key.api_key.id}/").text
    address = f"/o/acme/keys/{cast.key.api_key.id}/revoke/"
    assert client.post(address).status_code == 403
    assert client.post("/o/acme/keys/create/").status_code == 403


def test_revoking_tells_first_what_would_stop(olivia: Client, cast: Cast) -> None:
    used(cast.key.api_key, timezone.now(), requests=212)
    address = f"/o/acme/keys/{cast.key.api_key.id}/revoke/"

    assert "It made 212 requests in the last 24 hours" in olivia.get(address).text
    cast.key.api_key.refresh_from_db()
    assert cast.key.api_key.is_active
    assert olivia.post(address)["Location"] == "/o/acme/keys/"
    cast.key.api_key.refresh_from_db()
    assert not cast.key.api_key.is_active


def test_anothers_key_is_not_found(olivia: Client, cast: Cast) -> None:
    for act in ("revoke", "first-request"):
        address = f"/o/acme/keys/{cast.rival_key.api_key.id}/{act}/"
        assert olivia.get(address).status_code == 404
    assert olivia.post(f"/o/acme/keys/{cast.rival_key.api_key.id}/revoke/").status_code == 404
    cast.rival_key.api_key.refresh_from_db()
    assert cast.rival_key.api_key.is_active


def test_the_first_request_is_asked_for_until_it_has_come(olivia: Client, cast: Cast) -> None:
    address = f"/o/acme/keys/{cast.key.api_key.id}/first-request/"
    assert "hx-trigger" in olivia.get(address).text

    ApiKey.objects.filter(id=cast.key.api_key.id).update(last_used_at=timezone.now())

    part = olivia.get(address).text
    assert "First request received" in part
    assert "hx-trigger" not in part


def test_who_is_weeks_late_makes_no_keys(olivia: Client, cast: Cast) -> None:
    now = timezone.now()
    Dunning.objects.create(
        organization=cast.acme, stage=DunningStage.RESTRICTED, late_since=now, stepped_at=now
    )
    sent = {"name": "Another", "project": str(cast.project.id), "expires": "365"}
    answer = olivia.post("/o/acme/keys/create/", sent)
    assert answer.status_code == 422
    assert "once it is paid" in answer.text
    assert not ApiKey.objects.filter(name="Another").exists()
