"""Every route has a row in ROUTES, and every row is tried as everyone."""

from __future__ import annotations

from typing import Any, Final

import pytest
from django.test import Client, override_settings
from django.utils import timezone
from uuid_utils.compat import uuid7

from console.access import ROLES, STAFF, Who
from console.api import urls
from console.api.access import ROUTES
from console.api.operations import METHODS
from console.impersonation import SESSION_KEY
from tenants import services
from tenants.models import ApiKey, OrganizationState, Role, StaffRole
from tests.conftest import Cast
from tests.console.api.conftest import Api, key_of, logged_in, with_secret

pytestmark = pytest.mark.django_db

NOBODYS: Final = uuid7()
SERVED: Final = {200, 400, 404, 409}
"""Past the door: what is asked for may not be there, or not be what it should."""


def _routes() -> list[tuple[str, str, str]]:
    """The name, a method and the path of each route; ids in it are of nobody's."""
    found = [(one.name, str(one.pattern), one.callback) for one in urls.patterns()]
    return [
        (str(name), method.upper(), "/" + _filled(route))
        for name, route, callback in found
        for method in METHODS
        if hasattr(callback.view_class, method)  # type: ignore[attr-defined]  # as_view of Django
    ]


def _filled(route: str) -> str:
    parts = [str(NOBODYS) if part.startswith("<uuid") else part for part in route.split("/")]
    return "/".join("999999999" if part.startswith("<int") else part for part in parts)


ALL: Final = _routes()
OF_ORGANIZATIONS: Final = [one for one in ALL if not one[0].startswith("platform_")]
OF_OPERATORS: Final = [one for one in ALL if one[0].startswith("platform_")]


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    names = {one.name for one in urls.urlpatterns}
    assert sorted(map(str, names)) == sorted(ROUTES)


def test_a_route_that_changes_something_says_who_may() -> None:
    changing = {name for name, method, _path in ALL if method != "GET"}
    assert {name for name in changing if ROUTES[name].changes is None} == set()


def test_a_route_of_an_organization_is_for_its_members_by_their_roles(cast: Cast) -> None:
    wrong = []
    for role in Role:
        cast.max.memberships.update(role=role)
        member = logged_in(cast.max, cast.acme)
        for name, method, path in OF_ORGANIZATIONS:
            is_open = role in ROUTES[name].roles(change=method != "GET")
            wrong += _wrong(member, method, path, SERVED if is_open else {403})
    assert wrong == []


def test_nobody_else_gets_in(cast: Cast) -> None:
    revoked = key_of(cast.acme)
    services.admin_key_revoke(actor=None, admin_key=revoked.admin_key)
    others = {
        with_secret(revoked.secret): (401, "invalid_api_key"),
        with_secret(cast.key.secret): (401, "admin_key_required"),
        Api(Client()): (401, "invalid_api_key"),
        logged_in(cast.rita, cast.acme): (404, "not_found"),
        logged_in(cast.oskar, cast.acme): (404, "not_found"),
    }
    wrong = []
    for other, told in others.items():
        for _name, method, path in OF_ORGANIZATIONS:
            answer = other.ask(method, path)
            if (answer.status, answer.error["code"]) != told:
                wrong.append((method, path, told, answer.status))
    assert wrong == []


def test_an_admin_key_does_what_an_admin_may_and_one_that_reads_reads(
    api: Api, reader: Api
) -> None:
    wrong = []
    for _name, method, path in OF_ORGANIZATIONS:
        wrong += _wrong(api, method, path, SERVED)
        wrong += _wrong(reader, method, path, SERVED if method == "GET" else {403})
    assert wrong == []
    assert reader.post("/organization/projects").error["code"] == "missing_scope"


def test_a_route_of_the_platform_is_for_staff_by_their_roles(cast: Cast, api: Api) -> None:
    wrong = []
    others = {logged_in(cast.olivia): {404}, Api(Client()): {401}, api: {401}}
    for role in StaffRole:
        cast.oskar.staff_role = role
        cast.oskar.save(update_fields=["staff_role"])
        operator = logged_in(cast.oskar)
        for name, method, path in OF_OPERATORS:
            is_open = role in ROUTES[name].staff(change=method != "GET")
            wrong += _wrong(operator, method, path, SERVED if is_open else {403})
    for other, answers in others.items():
        for _name, method, path in OF_OPERATORS:
            wrong += _wrong(other, method, path, answers)
    assert wrong == []


def _wrong(caller: Api, method: str, path: str, answers: set[int]) -> list[object]:
    """What was answered, where it is not one of `answers`."""
    answer = caller.ask(method, path)
    return [] if answer.status in answers else [(method, path, answer.body)]


def _strangers(cast: Cast) -> dict[str, Any]:
    """Objects of Rival, by the name that they have in a path."""
    robot = services.service_account_create(
        actor=cast.rita, project=cast.rival_project, name="robot"
    )
    invite = services.invitation_create(
        actor=cast.rita, organization=cast.rival, email="x@rival.test", role=Role.ADMIN
    )
    return {
        "project": cast.rival_project.pk,
        "api_key": cast.rival_key.api_key.pk,
        "account": robot.pk,
        "user": cast.rita.pk,
        "invite": invite.pk,
        "admin_key": key_of(cast.rival).admin_key.pk,
        "budget": uuid7(),
        "rate_limit": "rl-*",
    }


def test_the_objects_of_a_stranger_do_not_exist(api: Api, cast: Cast) -> None:
    strange, tried = _strangers(cast), 0
    bodies: dict[str, dict[str, Any]] = {
        "project": {"name": "mine"},
        "project_api_key": {"name": "mine"},
        "project_api_keys": {"name": "mine", "service_account_id": str(strange["account"])},
        "service_accounts": {"name": "mine"},
        "project_spend_limit": {"threshold_amount": 1, "currency": "EUR", "interval": "month"},
        "user": {"role": "admin"},
    }
    for pattern in urls.patterns():
        route, view = str(pattern.pattern), pattern.callback.view_class  # type: ignore[attr-defined]
        if "<" not in route or route.startswith("platform"):
            continue
        for both in ({}, {"project": cast.project.pk}):
            path = _with(route, strange | both)
            for method in METHODS:
                if not hasattr(view, method) or (both and route.count("<") < 2):
                    continue
                if both and pattern.name == "project_rate_limit":
                    continue  # what is named there is a model, and everybody's
                tried += 1
                answer = (
                    api.post(path, **bodies.get(str(pattern.name), {}))
                    if method == "post"
                    else api.ask(method.upper(), path)
                )
                assert answer.status == 404, (method, path, answer.body)
    assert tried > 35


def _with(route: str, ids: dict[str, Any]) -> str:
    parts = route.split("/")
    filled = [
        str(ids[part.strip("<>").partition(":")[2]]) if part.startswith("<") else part
        for part in parts
    ]
    return "/" + "/".join(filled)


@pytest.mark.parametrize("state", [OrganizationState.SUSPENDED, OrganizationState.ARCHIVED])
def test_a_stopped_organization_is_for_reading(
    state: OrganizationState, api: Api, cast: Cast
) -> None:
    cast.acme.state = state
    cast.acme.save(update_fields=["state"])
    assert api.get("/organization/projects").status == 200
    told = api.post("/organization/projects", name="Late")
    assert (told.status, told.error["code"]) == (403, "organization_stopped")
    key = f"/organization/projects/{cast.project.pk}/api_keys/{cast.key.api_key.pk}"
    assert api.ask("POST", key).status == 403
    assert api.ask("DELETE", key).status == 200, "what takes away is still taken"
    assert ApiKey.objects.get(pk=cast.key.api_key.pk).revoked_at
    assert api.post(f"/organization/projects/{cast.project.pk}/archive").status == 200


def test_a_change_by_somebody_logged_in_asks_for_a_fresh_log_in(cast: Cast) -> None:
    stale = logged_in(cast.olivia, age_s=301)
    assert stale.get("/organization/projects").status == 200
    told = stale.post("/organization/projects", name="Late")
    assert (told.status, told.error["code"]) == (403, "step_up_required")


def test_a_browser_needs_its_token_and_a_key_none(
    cast: Cast, admin_key: services.NewAdminKey
) -> None:
    strict = Client(enforce_csrf_checks=True)
    browser = logged_in(cast.olivia)
    strict.cookies = browser.client.cookies
    told = Api(strict).post("/organization/projects", name="Forged")
    assert (told.status, told.error["code"]) == (403, "csrf_failed")
    script = Api(Client(enforce_csrf_checks=True), with_secret(admin_key.secret).headers)
    assert script.post("/organization/projects", name="Mine").status == 200


def test_somebody_of_several_organizations_names_one(cast: Cast) -> None:
    services.member_add(
        actor=cast.oskar, organization=cast.rival, user=cast.olivia, role=Role.AUDITOR
    )
    unnamed = logged_in(cast.olivia).get("/organization/projects")
    assert (unnamed.status, unnamed.error["code"]) == (400, "organization_required")
    named = logged_in(cast.olivia, cast.rival).get("/organization/projects")
    assert [one["name"] for one in named.body["data"]] == ["Secret"]


def test_a_key_that_has_expired_is_as_any_bad_one(cast: Cast) -> None:
    key = key_of(cast.acme)
    key.admin_key.expires_at = timezone.now()
    key.admin_key.save(update_fields=["expires_at"])
    expired = with_secret(key.secret).get("/organization/projects")
    assert expired.body == with_secret("sluice_ak_junk").get("/organization/projects").body


def test_an_admin_key_makes_no_owners_and_unmakes_none(api: Api, cast: Cast) -> None:
    for answer in (
        api.post(f"/organization/users/{cast.max.pk}", role="owner"),
        api.post(f"/organization/users/{cast.olivia.pk}", role="developer"),
        api.delete(f"/organization/users/{cast.olivia.pk}"),
        api.post("/organization/invites", email="x@acme.test", role="owner"),
    ):
        assert (answer.status, answer.error["code"]) == (403, "owners_only")
    assert cast.olivia.memberships.get().role == Role.OWNER


def test_the_last_owner_stays(cast: Cast) -> None:
    told = logged_in(cast.olivia).delete(f"/organization/users/{cast.olivia.pk}")
    assert (told.status, cast.olivia.memberships.count()) == (400, 1)


def test_the_audiences_of_the_routes_are_those_of_the_pages() -> None:
    for name, allowed in ROUTES.items():
        for who in (allowed.reads, allowed.changes):
            assert who is None or who in ROLES or who in STAFF or who is Who.ANYONE, name


@override_settings(MFA_REQUIRED=True)
def test_who_must_have_a_second_factor_and_has_none_is_told_so(cast: Cast) -> None:
    for caller, path in (
        (logged_in(cast.olivia), "/organization/projects"),
        (logged_in(cast.oskar), "/platform/models"),
    ):
        told = caller.get(path)
        assert (told.status, told.error["code"]) == (403, "second_factor_required")
    assert logged_in(cast.max).get("/organization/projects").status == 200


def test_an_operator_who_sees_as_a_member_has_no_api(cast: Cast) -> None:
    operator = logged_in(cast.oskar)
    started = services.impersonation_start(
        actor=cast.oskar, membership=cast.olivia.memberships.get(), reason="They asked for help."
    )
    session = operator.client.session
    session[SESSION_KEY] = str(started.pk)
    session.save()
    for told in (
        operator.get("/organization/projects"),
        operator.post("/organization/projects", name="Mine"),
    ):
        assert (told.status, told.error["code"]) == (403, "impersonation_not_allowed")
