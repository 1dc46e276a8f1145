"""What every path has in common: errors, lists, limits, and what is put on record."""

from __future__ import annotations

import json
from typing import Any, Final, get_args

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.models import Component, Currency, LimitKind, Mode, Period
from console.api import words
from console.api.errors import MOST_BYTES
from inference.models import BackendState, Capability, Engine, Task
from tenants import services
from tenants.models import AdminKey, AuditEntry, OrganizationState, Project
from tenants.uses import uses_keep
from tests.conftest import Cast
from tests.console.api.conftest import Api, logged_in
from tests.console.log_in import log_in_freshly, looking_in

pytestmark = pytest.mark.django_db

PROJECTS: Final = "/organization/projects"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b'{"name": "A", "colour": "red"}', 400, "colour"),
        (b'{"name": 5}', 400, "name"),
        (b"{}", 400, "name"),
        (b'{"name": ""}', 400, "name"),
        (b'{"name": "a\\u0000b"}', 400, "name"),
        (b'{"name": "\\ud800"}', 400, None),
        (b'{"name": "' + b"a" * 101 + b'"}', 400, "name"),
        (b'{"name": "a\\u202eb"}', 400, "name"),
        (b'{"name": " a"}', 400, "name"),
        (b"[]", 400, None),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"[" * 100_000, 400, None),
        (b" " * (MOST_BYTES + 1), 413, None),
    ],
)
def test_a_body_that_is_not_right_is_told_why(
    body: bytes, status: int, param: str | None, api: Api
) -> None:
    told = api.send(PROJECTS, body)
    assert (told.status, told.error["param"]) == (status, param)
    assert set(told.error) == {"message", "type", "param", "code"}


def test_a_form_is_no_json(api: Api) -> None:
    answer = api.client.post("/api/v1" + PROJECTS, {"name": "A"}, headers=api.headers)
    assert answer.status_code == 415


def test_what_a_service_refuses_names_the_field(api: Api) -> None:
    told = api.post(PROJECTS, name="search")
    assert (told.status, told.error["param"]) == (400, "name")
    assert "has this name" in told.error["message"]


@pytest.mark.parametrize("path", ["/", "/organization", "/organization/projects/1", "/x\0y"])
def test_a_path_that_is_none_is_told_in_json(path: str, api: Api) -> None:
    told = api.get(path)
    assert (told.status, told.error["code"]) == (404, "unknown_url")


def test_a_method_that_a_path_has_not_is_405_and_head_is_as_get(api: Api) -> None:
    assert api.delete(PROJECTS).status == 405
    answer = api.client.head("/api/v1" + PROJECTS, headers=api.headers)
    assert (answer.status_code, answer.content) == (200, b"")


def test_answers_are_never_stored_and_name_their_request(api: Api) -> None:
    headers = api.get(PROJECTS).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Request-Id"]


def test_lists_page_in_both_directions_and_orders(api: Api, cast: Cast) -> None:
    made = [Project.objects.create(organization=cast.acme, name=f"P{n}") for n in range(5)]
    ids = [str(one.pk) for one in reversed([cast.project, *made])]

    def page(**query: Any) -> tuple[list[str], bool]:
        body = api.get(PROJECTS, **query).body
        found = [one["id"] for one in body["data"]]
        assert (body["first_id"], body["last_id"]) == (
            (found[0], found[-1]) if found else (None, None)
        )
        return found, body["has_more"]

    assert page(limit=2) == (ids[:2], True)
    assert page(limit=2, after=ids[1]) == (ids[2:4], True)
    assert page(limit=2, after=ids[3]) == (ids[4:], False)
    assert page(limit=2, before=ids[4]) == (ids[2:4], True)
    assert page(limit=9, before=ids[2]) == (ids[:2], False)
    assert page(limit=2, order="asc") == (ids[::-1][:2], True)
    assert page(limit=2, order="asc", before=ids[1]) == ([ids[3], ids[2]], True)
    assert page(after=ids[-1]) == ([], False)


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        (PROJECTS, 2),
        ("{project}/api_keys", 3),
        ("{project}/service_accounts", 3),
        ("{project}/users", 3),
        ("{project}/rate_limits", 4),
        ("/organization/users", 2),
        ("/organization/invites", 2),
        ("/organization/admin_api_keys", 2),
        ("/organization/budgets", 2),
        ("/organization/audit_logs", 3),
    ],
)
def test_a_list_asks_the_database_as_often_however_long_it_is(
    path: str,
    queries: int,
    api: Api,
    cast: Cast,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(3):
        _more(cast, number)
    with django_assert_num_queries(queries):
        answer = api.get(path.format(project=f"{PROJECTS}/{cast.project.pk}"))
    assert answer.status == 200


def _more(cast: Cast, number: int) -> None:
    """One of everything."""
    name = f"n{number}"
    services.project_create(actor=None, organization=cast.acme, name=name)
    robot = services.service_account_create(actor=None, project=cast.project, name=name)
    services.api_key_create(
        actor=cast.olivia, project=cast.project, name=name, service_account=robot
    )
    services.admin_key_create(
        actor=cast.olivia, organization=cast.acme, name=name, may_write=False, expires_at=None
    )


@override_settings(MANAGEMENT_REQUESTS_PER_MINUTE=3)
def test_too_many_requests_of_one_caller_are_asked_to_wait(api: Api, cast: Cast) -> None:
    left = [api.get(PROJECTS).headers["x-ratelimit-remaining-requests"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    told = api.get(PROJECTS)
    assert (told.status, told.error["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(told.headers["Retry-After"]) <= 60
    assert logged_in(cast.olivia).get(PROJECTS).status == 200


def test_when_and_from_where_an_admin_key_was_used_is_kept(
    api: Api, admin_key: services.NewAdminKey
) -> None:
    api.get(PROJECTS)
    uses_keep()
    kept = AdminKey.objects.get(pk=admin_key.admin_key.pk)
    assert kept.last_used_at
    assert (timezone.now() - kept.last_used_at).total_seconds() < 120
    assert kept.last_network == "127.0.0.0/24"


def test_acts_of_a_key_and_of_a_person_are_told_apart(
    api: Api, admin_key: services.NewAdminKey, cast: Cast
) -> None:
    api.post(PROJECTS, name="By key")
    logged_in(cast.olivia).post(PROJECTS, name="By hand")
    by_hand, by_key = AuditEntry.objects.for_organization(cast.acme).order_by("-seq")[:2]
    assert (by_key.actor, by_key.auth) == (None, f"admin_key:{admin_key.admin_key.pk}")
    assert (by_hand.actor, by_hand.auth) == (cast.olivia, "password")
    shown = api.get("/organization/audit_logs", limit=2).body["data"]
    assert shown[0]["actor"]["session"]["user"]["email"] == cast.olivia.email
    assert shown[1]["actor"]["api_key"]["id"] == str(admin_key.admin_key.pk)
    found = api.get("/organization/audit_logs", actor_ids=str(admin_key.admin_key.pk))
    assert [one["data"]["name"] for one in found.body["data"]] == ["By key"]
    page = logged_in(cast.olivia).client.get("/o/acme/audit/").text
    assert "Admin key CI" in page


def test_of_an_operator_who_looked_in_the_trail_tells_both_names_and_no_address(
    api: Api, cast: Cast
) -> None:
    looking_in(log_in_freshly(Client(), cast.oskar), cast.max.memberships.get()).get("/o/acme/")
    [seen] = api.get("/organization/audit_logs", event_types="impersonation.see").body["data"]
    assert (seen["on_behalf_of"]["name"], seen["actor"]["session"]["user"]["name"]) == (
        "Max Berg",
        "Oskar Lund",
    )
    assert cast.oskar.email not in json.dumps(seen)
    by_address = api.get("/organization/audit_logs", actor_emails=cast.oskar.email)
    assert by_address.body["data"] == []


def test_the_trail_is_found_by_time_kind_and_object(api: Api, cast: Cast) -> None:
    def types(**query: Any) -> list[str]:
        found = api.get("/organization/audit_logs", **query).body["data"]
        return [one["type"] for one in found]

    now = int(timezone.now().timestamp())
    assert types(event_types="project.created") == ["project.created"]
    assert types(event_types="project.create") == ["project.created"]
    assert types(resource_ids=str(cast.project.pk)) == ["project.created"]
    assert types(actor_emails="nobody@acme.test") == []
    assert types(**{"effective_at[gt]": now + 60}) == []
    assert len(types(**{"effective_at[gte]": now - 60})) > 3
    strange = {one["target"]["id"] for one in api.get("/organization/audit_logs").body["data"]}
    assert str(cast.rival_project.pk) not in strange


def test_a_secret_stands_in_no_entry_and_no_list(api: Api, cast: Cast) -> None:
    path = f"{PROJECTS}/{cast.project.pk}"
    made = api.post(f"{path}/service_accounts", name="robot").body["api_key"]["value"]
    admin = api.post("/organization/admin_api_keys", name="two").body["value"]
    told = json.dumps(
        [
            api.get(f"{path}/api_keys").body,
            api.get("/organization/admin_api_keys").body,
            api.get("/organization/audit_logs").body,
        ]
    )
    assert made not in told
    assert admin not in told


@pytest.mark.parametrize(
    ("named", "choices"),
    [
        (words.TaskName, Task),
        (words.CapabilityName, Capability),
        (words.EngineName, Engine),
        (words.BackendStateName, BackendState),
        (words.ComponentName, Component),
        (words.CurrencyName, Currency),
        (words.ModeName, Mode),
        (words.LimitKindName, LimitKind),
        (words.PeriodName, Period),
        (words.OrganizationStateName, OrganizationState),
    ],
)
def test_a_field_takes_the_words_of_its_model(named: Any, choices: Any) -> None:
    assert list(get_args(named.__value__)) == list(choices.values)


def test_nobody_is_asked_for_a_log_in_page(cast: Cast) -> None:
    told = Api(Client()).get(PROJECTS)
    assert (told.status, told.headers["WWW-Authenticate"]) == (401, "Bearer")
