"""Every page has a row in ACCESS, and every row is tried as everyone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from uuid_utils.compat import uuid7

from billing import limiting, tasks
from billing.budgets import budget_set
from billing.models import Component, LimitKind, ModelHalt
from billing.services import rate_set
from console.access import ACCESS, CHANGES, ROLES, SECRETIVE, STAFF, STILL_TAKEN, Who
from console.sso import dns
from inference import control
from inference.models import Task
from tenants import services
from tenants.invitations import token_mint
from tenants.models import (
    Invitation,
    Organization,
    Role,
    SsoDomain,
    SsoProvider,
    StaffRole,
    User,
)
from tests.conftest import Cast
from tests.console.billing_places import billing_places
from tests.console.log_in import log_in_freshly, looking_in
from tests.console.money_places import money_places

type Place = str | UUID | int

THEIR_OWN: Final = {"admin", "allauth", "api"}
"""Parts with access rules of their own: the stock admin asks for staff, allauth for itself; the
management API has its table in `console.api.access`, and its own walk."""


KEY_PAGES: Final = (
    "key_detail",
    "key_edit",
    "key_rotate",
    "key_retiring_end",
    "key_revoke",
    "key_first_request",
)


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern.name or str(pattern.pattern)
        elif not _has_rules_of_its_own(pattern):
            yield from names(pattern.url_patterns)


def _has_rules_of_its_own(resolver: URLResolver) -> bool:
    module = getattr(resolver.urlconf_name, "__name__", "")
    return resolver.app_name in THEIR_OWN or module.partition(".")[0] in THEIR_OWN


def test_every_page_has_its_row_and_every_row_its_page() -> None:
    assert sorted(names(get_resolver().url_patterns)) == sorted(ACCESS)


@pytest.fixture
def places(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Place]]:
    """Arguments of the pages that need some, all of them Acme's or the platform's."""
    region = control.region_create(
        actor=cast.oskar, code="se", site="Luleå", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=cast.oskar, name="gpu-1", base_url="http://127.0.0.1:9", engine="vllm", region=region
    )
    model = control.model_create(
        actor=cast.oskar,
        public_id="acme/tiny",
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
    )
    for component in Component:
        rate_set(actor=cast.oskar, model="acme/tiny", component=component, price=Decimal(1))
    control.model_set_enabled(actor=cast.oskar, model=model, enabled=True)
    deployment = control.model_deploy(
        actor=cast.oskar, model=model, backend=backend, engine_model="tiny"
    )
    of_model: dict[str, Place] = {"model": "acme/tiny"}
    halt = ModelHalt.objects.create(model="acme/tiny", reason="no rate")
    fresh: dict[str, Place] = {"request_id": uuid7()}
    of_deployment: dict[str, Place] = {"deployment": deployment.pk}
    key: dict[str, Place] = {"org": "acme", "key": cast.key.api_key.id}
    services.api_key_rotate(actor=None, api_key=cast.key.api_key)
    of_limit: dict[str, Place] = {"limit": _limit(cast)}
    of_budget: dict[str, Place] = {"org": "acme", "budget": _budget(cast)}
    of_project: dict[str, Place] = {"org": "acme", "project": cast.project.pk}
    invitation = _invitation(cast)
    of_invitation: dict[str, Place] = {"org": "acme", "invitation": invitation.pk}
    monkeypatch.setattr(dns, "texts_at", lambda name: [])
    monkeypatch.setattr(tasks, "close_old_connections", lambda: None)
    of_domain: dict[str, Place] = {"org": "acme", "domain": _sso_domain(cast)}
    account = services.service_account_create(actor=None, project=cast.project, name="ci")
    acme: dict[str, Place] = {"org": "acme"}
    of_staff: dict[str, Place] = {"user": cast.oskar.pk}
    return {
        "member_role": _member(cast, cast.max),
        "member_remove": _member(cast, cast.max),
        "invitation_send_again": of_invitation,
        "invitation_revoke": of_invitation,
        "invitation": {"token": token_mint(invitation.pk, 1)},
        "project": of_project,
        "project_rename": of_project,
        "project_archive": of_project,
        "project_restore": of_project,
        "service_account_create": of_project,
        "service_account_archive": {"org": "acme", "account": account.pk},
        "operator_staff_role": of_staff,
        "operator_staff_remove": of_staff,
        "operator_waiting_approve": acme,
        "operator_waiting_refuse": acme,
        "operator_organization_suspend": acme,
        "operator_organization_lift": acme,
        "operator_organization_delete": acme,
        "operator_organization_restore": acme,
        "operator_impersonate": _member(cast, cast.max),
        "account_session_end": {"session": _log_in_of(cast.olivia)},
        "sso_domain_verify": of_domain,
        "sso_domain_remove": of_domain,
        "docs_page": {"page": "limits"},
        "docs_markdown": {"page": "limits"},
        "org_docs_page": {"org": "acme", "page": "limits"},
        "key_detail": key,
        "key_edit": key,
        "key_rotate": key,
        "key_retiring_end": key,
        **dict.fromkeys(KEY_PAGES, key),
        "admin_key_revoke": {"org": "acme", "key": _admin_key(cast)},
        "limit_remove": {"org": "acme", **of_limit},
        "operator_limit_remove": of_limit,
        "operator_plan": {"plan": "free"},
        "operator_organization_limits": {"org": "acme"},
        **billing_places(cast),
        **money_places(cast),
        "budget_edit": of_budget,
        "budget_remove": of_budget,
        "request_detail": {"org": "acme", **fresh},
        "operator_request": fresh,
        "operator_model_release": {"halt": halt.pk},
        "operator_organization": {"org": "acme"},
        "operator_organization_routing": {"org": "acme"},
        "operator_organization_audit": {"org": "acme"},
        "operator_organization_audit_export": {"org": "acme"},
        "operator_reason": {"org": "acme"},
        "operator_organization_terms": {"org": "acme"},
        "operator_organization_payment": {"org": "acme"},
        "operator_organization_grant": {"org": "acme"},
        "operator_backend": {"backend": "gpu-1"},
        "operator_backend_edit": {"backend": "gpu-1"},
        "operator_backend_test": {"backend": "gpu-1"},
        "operator_backend_state": {"backend": "gpu-1"},
        "model": {"org": "acme", **of_model},
        "operator_model": of_model,
        "operator_model_edit": of_model,
        "operator_model_card": of_model,
        "operator_model_status": of_model,
        "operator_model_visibility": of_model,
        "operator_model_rates": of_model,
        "operator_model_enabled": of_model,
        "operator_model_routing": of_model,
        "operator_deployment_add": of_model,
        "operator_deployment_edit": of_deployment,
        "operator_deployment_remove": of_deployment,
    }


def _member(cast: Cast, user: User) -> dict[str, Place]:
    return {"org": "acme", "member": int(cast.acme.memberships.get(user=user).pk)}


def _invitation(cast: Cast) -> Invitation:
    return services.invitation_create(
        actor=cast.olivia, organization=cast.acme, email="nina@acme.test", role=Role.AUDITOR
    )


def _admin_key(cast: Cast) -> UUID:
    made = services.admin_key_create(
        actor=cast.olivia,
        organization=cast.acme,
        name="scripts",
        may_write=False,
        expires_at=None,
    )
    return made.admin_key.pk


def _log_in_of(user: User) -> int:
    session = UserSession.objects.create(user=user, ip="192.0.2.1", session_key="a")
    return int(session.pk)


def _sso_domain(cast: Cast) -> UUID:
    """Of a provider that is set up."""
    SsoProvider.objects.create(
        organization=cast.acme, issuer="https://a.test", client_id="a", sealed_secret=b""
    )
    return SsoDomain.objects.create(organization=cast.acme, name="acme.test", token="t").pk


def _limit(cast: Cast) -> UUID:
    kind, project = LimitKind.STREAMS, cast.project
    made = limiting.limit_set(
        actor=None, organization=cast.acme, project=project, kind=kind, value=5
    )
    return made.pk


def _budget(cast: Cast) -> UUID:
    return budget_set(actor=None, organization=cast.acme, amount=Decimal(5)).budget.pk


IS_IT_YOU: Final = "/account/reauthenticate/"
MATTERS: Final = frozenset({
    "key_create", "key_edit", "key_rotate", "key_retiring_end", "key_revoke", "keys_revoke",
    "keys_policy", "admin_key_create", "admin_key_revoke",
    "budget_add", "budget_edit", "budget_remove", "operator_organization_terms",
    "operator_organization_payment", "operator_organization_grant", "operator_model_rates",
    "member_role", "member_remove", "invitation_create", "invitation_send_again",
    "invitation_revoke", "ownership_offer", "ownership_answer", "operator_staff_add",
    "operator_staff_role", "operator_staff_remove", "operator_organization_add",
    "second_factor_rule", "sso_provider", "sso_remove", "sso_enforce", "sso_domain_add",
    "sso_domain_verify", "sso_domain_remove", "operator_impersonate",
    "org_archive", "org_delete", "org_restore", "operator_organization_suspend",
    "operator_organization_lift", "operator_organization_delete", "operator_organization_restore",
    "auto_top_up", "billing_profile", "payment_confirm", "payment_method", "plan_choose", "top_up",
    "operator_credit_note", "operator_invoice_finalise", "operator_invoice_payment",
    "operator_invoice_release", "operator_invoice_void", "operator_invoice_write_off",
    "operator_organization_book", "operator_organization_currency", "operator_organization_month",
    "operator_organization_plan",
    "operator_outbox_retry", "operator_payment_excess", "operator_payment_refund",
    "operator_plan", "operator_plan_add",
    "operator_price", "operator_price_book_add", "operator_price_book_edit", "operator_price_tiers",
    "operator_rate_approve", "operator_rate_withdraw", "operator_refund_again",
    "operator_webhook_replay", "operator_exchange_rate_add", "operator_organization_vat",
})  # fmt: skip
"""Keys, money, members, single sign-on, impersonation, and the end of an organization."""
WITH_BUTTONS: Final = (
    "org_home", "playground", "keys", "key_detail", "admin_keys", "limits", "budgets", "members",
    "projects", "project", "sign_on", "org_settings",
)  # fmt: skip
BUTTON: Final = re.compile(r'method="post"[^>]* action="(/[^"]+)|hx-get="([^"]+)" hx-target="#d')

type Places = dict[str, dict[str, Place]]
type Rule = Callable[[str], str]

OF_MEMBERS: Final = [page for page, who in ACCESS.items() if who in ROLES]
OF_STAFF: Final = [page for page, who in ACCESS.items() if who in STAFF]
OF_PEOPLE: Final = [page for page, who in ACCESS.items() if who is Who.USER]
OPEN: Final = [page for page, who in ACCESS.items() if who is Who.ANYONE]
NOT_ALLOWED: Final = "405"


def logged_in(user: User) -> Client:
    return log_in_freshly(Client(), user)


@pytest.fixture(autouse=True)
def _no_word_of_refusals(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands are meant, and the traceback of each costs more than the request."""
    caplog.set_level("CRITICAL", logger="django.request")


def answer_of(client: Client, method: str, page: str, places: Places) -> str:
    """In a word. What is not an organization's own is asked for Acme's. Nothing of it is kept."""
    kwargs = places.get(page, {"org": "acme"} if ACCESS[page] in ROLES else {})
    with transaction.atomic():
        answer = getattr(client, method)(reverse(page, kwargs=kwargs))
        transaction.set_rollback(True)
    if answer.status_code == 302 and answer["Location"].startswith(reverse("account_login")):
        return "log in"
    if answer.status_code == 302 and answer["Location"] == reverse("org_closed", args=["acme"]):
        return "closed"
    if answer.status_code == 302 and answer["Location"].startswith(IS_IT_YOU):
        return "is it you"
    return "served" if answer.status_code in {200, 302, 422} else str(answer.status_code)


def walk(client: Client, pages: list[str], places: Places, reads: Rule, sends: Rule) -> None:
    """Ask each of `pages` and send nothing to it: it must answer by the rules.

    A page that takes only the one does not say who may do the other.
    """
    taken = set[str]()
    for method, rule in (("get", reads), ("post", sends)):
        all_ = {page: answer_of(client, method, page, places) for page in pages}
        answers = {page: said for page, said in all_.items() if said != NOT_ALLOWED}
        assert answers == {page: rule(page) for page in answers}, method
        taken |= answers.keys()
    assert taken == set(pages)


def always(answer: str) -> Rule:
    return lambda page: answer


def by_role(role: Role) -> Rule:
    return lambda page: "served" if role in ROLES[ACCESS[page]] else "403"


@pytest.mark.parametrize("role", Role)
def test_a_member_is_served_what_the_role_may_see(role: Role, cast: Cast, places: Places) -> None:
    cast.max.memberships.update(role=role)
    client = logged_in(cast.max)

    walk(client, OF_MEMBERS, places, by_role(role), by_role(role))


def test_to_a_customer_no_operators_page_exists(cast: Cast, places: Places) -> None:
    walk(logged_in(cast.olivia), OF_STAFF, places, always("404"), always("404"))


def test_to_an_operator_no_customers_page_exists(cast: Cast, places: Places) -> None:
    walk(logged_in(cast.oskar), OF_MEMBERS, places, always("404"), always("404"))


@pytest.mark.parametrize("role", StaffRole)
def test_an_operator_is_served_what_the_role_may_see(
    role: StaffRole, cast: Cast, places: Places
) -> None:
    sara = services.staff_add(actor=cast.oskar, email="sara@sluice.test", name="Sara", role=role)
    client = logged_in(sara)

    def reads(page: str) -> str:
        return "served" if role in STAFF[ACCESS[page]] else "403"

    def sends(page: str) -> str:
        return "served" if role in STAFF[CHANGES.get(page, ACCESS[page])] else "403"

    walk(client, OF_STAFF, places, reads, sends)


def test_to_the_owner_of_another_organization_nothing_exists(cast: Cast, places: Places) -> None:
    pages = OF_MEMBERS + OF_STAFF
    walk(logged_in(cast.rita), pages, places, always("404"), always("404"))


def test_who_is_logged_out_is_asked_to_log_in(cast: Cast, places: Places) -> None:
    pages = OF_MEMBERS + OF_STAFF + OF_PEOPLE
    walk(Client(), pages, places, always("log in"), always("log in"))


def test_a_page_for_people_is_for_everyone_who_logged_in(cast: Cast, places: Places) -> None:
    def of_oskar(page: str) -> str:
        return {"account_session_end": "404", "organization_create": "403"}.get(page, "served")

    walk(logged_in(cast.olivia), OF_PEOPLE, places, always("served"), always("served"))
    walk(logged_in(cast.oskar), OF_PEOPLE, places, of_oskar, of_oskar)


def test_an_open_page_is_open(cast: Cast, places: Places, tmp_path: Path, settings: Any) -> None:
    settings.MAIL_FOLDER = str(tmp_path)

    def sends(page: str) -> str:
        return "400" if page == "stripe_webhook" else "served"  # it is not signed

    walk(Client(), OPEN, places, always("served"), sends)


def test_what_matters_most_asks_once_more_who_is_there(cast: Cast, places: Places) -> None:
    asked = set[str]()
    for user, pages in ((cast.olivia, OF_MEMBERS), (cast.oskar, OF_STAFF)):
        client = log_in_freshly(Client(), user, age_s=310)
        asked |= {page for page in pages if answer_of(client, "post", page, places) == "is it you"}

    assert asked ^ MATTERS == set()


def test_a_stopped_organization_is_for_reading(cast: Cast, places: Places) -> None:
    Organization.objects.filter(pk=cast.acme.pk).update(state="suspended")

    def sends(page: str) -> str:
        return "served" if page in STILL_TAKEN else "403"

    walk(logged_in(cast.olivia), OF_MEMBERS, places, always("served"), sends)


def test_a_stopped_organization_offers_only_what_it_takes(cast: Cast, places: Places) -> None:
    owner = logged_in(cast.olivia)
    assert {"key_create", "member_role", "sso_enforce", "limit_add"} <= offered(owner, places)
    Organization.objects.filter(pk=cast.acme.pk).update(state="suspended")

    shown = offered(owner, places)

    assert shown <= STILL_TAKEN
    assert {"key_revoke", "member_remove", "project_archive", "org_delete"} <= shown


def offered(client: Client, places: Places) -> set[str]:
    """The pages of an organization that buttons on its pages send to or open as a sheet."""
    found = set[str]()
    for page in WITH_BUTTONS:
        text = client.get(reverse(page, kwargs=places.get(page, {"org": "acme"}))).text
        urls = [sent or opened for sent, opened in BUTTON.findall(text)]
        found |= {str(resolve(url.partition("?")[0]).url_name) for url in urls}
    return {name for name in found if ACCESS.get(name) in ROLES}


def test_of_a_closed_organization_only_the_reason_is_shown(cast: Cast, places: Places) -> None:
    Organization.objects.filter(pk=cast.acme.pk).update(state="waiting")

    def answers(page: str) -> str:
        return "served" if page == "org_closed" else "closed"

    walk(logged_in(cast.olivia), OF_MEMBERS, places, answers, answers)


@pytest.mark.parametrize("role", [Role.OWNER, Role.AUDITOR])
def test_who_looks_in_reads_what_the_member_reads_but_for_secrets(
    role: Role, cast: Cast, places: Places
) -> None:
    cast.max.memberships.update(role=role)
    client = looking_in(logged_in(cast.oskar), cast.max.memberships.get())

    def reads(page: str) -> str:
        return "403" if ACCESS[page] in SECRETIVE else by_role(role)(page)

    walk(client, OF_MEMBERS, places, reads, always("403"))
    pages = ["operator_overview", "operator_staff_add", "account"]
    walk(client, pages, places, always("served"), always("403"))


def test_a_key_of_another_organization_does_not_exist(cast: Cast) -> None:
    kwargs: dict[str, Place] = {"org": "acme", "key": cast.rival_key.api_key.id}
    client = logged_in(cast.olivia)
    for page in ("key_revoke", "key_first_request"):
        assert client.get(reverse(page, kwargs=kwargs)).status_code == 404
    cast.rival_key.api_key.refresh_from_db()
    assert cast.rival_key.api_key.is_active
