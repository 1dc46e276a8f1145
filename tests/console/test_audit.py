"""The audit page of an organization: what it tells, to whom, and what can be taken away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.db import transaction
from django.test import Client
from django.utils import timezone

from console.audit_log import SIZE
from tenants import audit, services
from tenants.audit.checks import trail_verify
from tenants.models import AuditEntry, AuditStanding, Role
from tests.conftest import Cast
from tests.console.downloads import downloaded
from tests.console.log_in import log_in_freshly

URL = "/o/acme/audit/"


@pytest.fixture
def owner(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


def told(response: Any) -> list[str]:
    return [row.what for row in response.context["rows"]]


def test_what_was_done_is_told_newest_first_in_words(owner: Client) -> None:
    response = owner.get(URL)
    assert told(response) == [
        "API key created", "Project created", "Member added", "Member added",
        "Organization created",
    ]  # fmt: skip
    assert "Acme production" in response.text
    assert "Olivia Ek" in response.text
    assert "Rival" not in response.text


def test_a_change_is_shown_as_before_and_after(owner: Client, cast: Cast) -> None:
    services.organization_set_share(actor=cast.oskar, organization=cast.acme, share=7)
    page = owner.get(URL).text
    assert "<del>1</del>" in page
    assert "<ins>7</ins>" in page


def test_who_what_and_which_object_can_be_asked_for(owner: Client, cast: Cast) -> None:
    assert told(owner.get(URL, {"action": "member.add"})) == ["Member added"] * 2
    by_olivia = owner.get(URL, {"actor": cast.olivia.pk})
    assert told(by_olivia) == ["API key created", "Project created"]
    assert told(owner.get(URL, {"actor": "none"})) == []
    assert told(owner.get(URL, {"q": "search"})) == ["Project created"]
    assert told(owner.get(URL, {"q": str(cast.key.api_key.pk)})) == ["API key created"]
    assert told(owner.get(URL, {"q": "%"})) == []
    assert "Nothing in this range matches." in owner.get(URL, {"q": "nothing"}).text


def test_the_filters_offer_only_who_and_what_is_there(owner: Client, cast: Cast) -> None:
    who, what = owner.get(URL).context["filters"]
    assert [label for _id, label in who.choices] == ["Olivia Ek", "Oskar Lund", "Sluice itself"]
    assert [action for action, _label in what.choices] == [
        "api_key.create", "member.add", "organization.create", "project.create",
    ]  # fmt: skip


def test_a_range_that_is_none_is_refused_in_words(owner: Client) -> None:
    page = owner.get(URL, {"from": "2026-02-01", "to": "2026-01-01"}).text
    assert "The range ends before it begins: choose a later end." in page
    today = timezone.now().date()
    days = {"from": str(today - timedelta(days=9)), "to": str(today - timedelta(days=8))}
    assert told(owner.get(URL, days)) == []


def test_pages_follow_one_another_by_number(owner: Client, cast: Cast) -> None:
    for number in range(SIZE):
        services.project_create(actor=cast.max, organization=cast.acme, name=f"P{number}")
    first = owner.get(URL).context["page"]
    second = owner.get(URL, {"before": first.older}).context["page"]
    seqs = [entry.seq for entry in (*first.entries, *second.entries)]
    assert seqs == list(range(SIZE + 5, 0, -1))
    assert (first.is_first, second.is_first, second.older) == (True, False, None)
    assert owner.get(URL, {"before": "x" * 40}).context["page"].is_first


def test_the_queries_of_a_page_do_not_grow_with_its_rows(
    owner: Client, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        services.project_create(actor=cast.max, organization=cast.acme, name=f"P{number}")
    with django_assert_max_num_queries(12):
        owner.get(URL)


def test_where_an_act_came_from_is_told(owner: Client, cast: Cast) -> None:
    owner.get("/o/acme/usage.csv", headers={"user-agent": "Firefox 150"}, REMOTE_ADDR="203.0.113.9")
    response = owner.get(URL)
    assert told(response)[0] == "Usage exported"
    page = response.text
    assert "203.0.113.9" in page
    assert "Firefox 150" in page
    entry = AuditEntry.objects.for_organization(cast.acme).latest("seq")
    assert "203.0.113.9" not in entry.body


def test_the_answer_names_the_request_that_the_trail_names(owner: Client, cast: Cast) -> None:
    answer = owner.get("/o/acme/requests.csv")
    entry = AuditEntry.objects.for_organization(cast.acme).latest("seq")
    assert entry.action == "requests.export"
    assert entry.request_id == answer["X-Request-Id"]
    assert owner.get("/o/acme/requests.csv")["X-Request-Id"] != entry.request_id


def test_how_the_actor_had_logged_in_is_told(client: Client, cast: Cast) -> None:
    log_in_freshly(client, cast.olivia)
    session = client.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] += [{"method": "mfa", "type": "totp", "at": 0}]
    session.save()
    client.get("/o/acme/usage.csv")
    entry = AuditEntry.objects.for_organization(cast.acme).latest("seq")
    assert entry.auth == "password+totp"
    assert "password + totp" in client.get(URL).text


def test_both_names_stand_where_staff_acts_for_a_member(owner: Client, cast: Cast) -> None:
    with audit.acting(on_behalf_of=cast.max), transaction.atomic():
        audit.record(
            actor=cast.oskar,
            action="impersonation.start",
            target=cast.max,
            organization=cast.acme,
            reason="He asked for it",
        )
    page = owner.get(URL).text
    assert "Oskar Lund, seeing as Max Berg" in page
    assert "He asked for it" in page


def test_whether_the_trail_holds_stands_above_it(owner: Client, cast: Cast) -> None:
    assert "Not verified yet" in owner.get(URL).text
    trail_verify()
    page = owner.get(URL).text
    assert "Verified to #5 at" in page
    wrong = ["Entry 3 was changed."]
    AuditStanding.objects.filter(chain=cast.acme.pk).update(findings=wrong)
    page = owner.get(URL).text
    assert "This trail is not as it was written." in page
    assert "Entry 3 was changed." in page


def test_the_export_is_the_whole_chain_and_on_record_in_it(owner: Client, cast: Cast) -> None:
    answer: Any = owner.get("/o/acme/audit.jsonl", {"action": "member.add"})
    assert answer["Content-Disposition"] == 'attachment; filename="audit-acme.jsonl"'
    lines = [json.loads(line) for line in downloaded(answer).splitlines()]
    assert lines[0]["chain"] == str(cast.acme.pk)
    assert [line["seq"] for line in lines[1:-1]] == [1, 2, 3, 4, 5, 6]
    assert json.loads(lines[-2]["body"])["action"] == "audit.export"
    assert lines[-1]["proof"]["head"][0] == 6


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.OWNER, 200), (Role.ADMIN, 200), (Role.AUDITOR, 200),
     (Role.DEVELOPER, 403), (Role.BILLING, 403)],
)  # fmt: skip
def test_owners_admins_and_auditors_read_it(
    role: Role, status: int, client: Client, cast: Cast
) -> None:
    cast.max.memberships.update(role=role)
    client.force_login(cast.max)
    assert client.get(URL).status_code == status
    assert client.get("/o/acme/audit.jsonl").status_code == status
    assert client.get("/o/rival/audit/").status_code == 404
