"""Every page has a row in ACCESS, and every row is tried as everyone."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from uuid_utils.compat import uuid7

from billing import limiting
from billing.budgets import budget_set
from billing.models import Component, LimitKind, ModelHalt
from billing.services import rate_set
from console.access import ACCESS, ROLES, Who
from inference import control
from inference.models import Task
from tenants.models import Role, User
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly

type Place = str | UUID | int

THEIR_OWN: Final = {"admin", "allauth"}
"""Parts with access rules of their own: the stock admin asks for staff, allauth for itself."""

OLIVIAS_OWN: Final = {"account_session_end"}
"""Pages for people whose example here is Olivia's: to others it does not exist."""

POST_ONLY: Final = {
    "theme",
    "account_session_end",
    "key_revoke",
    "budget_alerts_seen",
    "operator_dead_retry",
    "operator_model_release",
    "operator_backend_test",
    "operator_backend_state",
    "operator_model_enabled",
}


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern.name or str(pattern.pattern)
        elif not _has_rules_of_its_own(pattern):
            yield from names(pattern.url_patterns)


def _has_rules_of_its_own(resolver: URLResolver) -> bool:
    module = getattr(resolver.urlconf_name, "__name__", "")
    return resolver.app_name == "admin" or module.partition(".")[0] in THEIR_OWN


def test_every_page_has_its_row_and_every_row_its_page() -> None:
    assert sorted(names(get_resolver().url_patterns)) == sorted(ACCESS)


@pytest.fixture
def places(cast: Cast) -> dict[str, dict[str, Place]]:
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
    of_limit: dict[str, Place] = {"limit": _limit(cast)}
    of_budget: dict[str, Place] = {"org": "acme", "budget": _budget(cast)}
    return {
        "account_session_end": {"session": _log_in_of(cast.olivia)},
        "docs_page": {"page": "limits"},
        "docs_markdown": {"page": "limits"},
        "org_docs_page": {"org": "acme", "page": "limits"},
        "key_revoke": key,
        "key_first_request": key,
        "limit_remove": {"org": "acme", **of_limit},
        "operator_limit_remove": of_limit,
        "operator_plan": {"plan": "free"},
        "operator_organization_limits": {"org": "acme"},
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


def _log_in_of(user: User) -> int:
    session = UserSession.objects.create(user=user, ip="192.0.2.1", session_key="a")
    return int(session.pk)


def _limit(cast: Cast) -> UUID:
    kind, project = LimitKind.STREAMS, cast.project
    made = limiting.limit_set(
        actor=None, organization=cast.acme, project=project, kind=kind, value=5
    )
    return made.pk


def _budget(cast: Cast) -> UUID:
    return budget_set(actor=None, organization=cast.acme, amount=Decimal(5)).budget.pk


def ask(name: str, kwargs: dict[str, Place], user: object) -> int:
    client = Client()
    if not isinstance(user, AnonymousUser):
        log_in_freshly(client, user)  # type: ignore[arg-type] # a User
    url = reverse(name, kwargs=kwargs)
    return (client.post if name in POST_ONLY else client.get)(url).status_code


SERVED: Final = {200, 302, 422}
LOG_IN: Final = {302}


@pytest.mark.parametrize("name", [n for n, who in ACCESS.items() if who in ROLES])
def test_a_page_of_an_organization_is_for_its_members(
    name: str, cast: Cast, places: dict[str, dict[str, Place]]
) -> None:
    kwargs = places.get(name, {"org": "acme"})
    assert ask(name, kwargs, cast.olivia) in SERVED
    assert ask(name, kwargs, cast.rita) == 404
    assert ask(name, kwargs, cast.oskar) == 404
    assert ask(name, kwargs, AnonymousUser()) in LOG_IN


@pytest.mark.parametrize("name", [n for n, who in ACCESS.items() if who in ROLES])
def test_a_member_whose_role_may_not_is_told_so(
    name: str, cast: Cast, places: dict[str, dict[str, Place]]
) -> None:
    kwargs, may = places.get(name, {"org": "acme"}), ROLES[ACCESS[name]]
    lesser = min(may - {Role.OWNER})
    for role in [*(one for one in Role if one not in may), lesser]:
        cast.max.memberships.update(role=role)
        answered = ask(name, kwargs, cast.max)
        assert answered in (SERVED if role in may else {403}), role


@pytest.mark.parametrize("name", [n for n, who in ACCESS.items() if who is Who.OPERATOR])
def test_an_operators_page_does_not_exist_for_customers(
    name: str, cast: Cast, places: dict[str, dict[str, Place]]
) -> None:
    kwargs = places.get(name, {})
    assert ask(name, kwargs, cast.oskar) in SERVED
    assert ask(name, kwargs, cast.olivia) == 404
    assert ask(name, kwargs, AnonymousUser()) in LOG_IN


@pytest.mark.parametrize("name", [n for n, who in ACCESS.items() if who is Who.USER])
def test_a_page_for_people_asks_who_you_are(
    name: str, cast: Cast, places: dict[str, dict[str, Place]]
) -> None:
    kwargs = places.get(name, {})
    assert ask(name, kwargs, AnonymousUser()) in LOG_IN
    assert ask(name, kwargs, cast.oskar) in ({404} if name in OLIVIAS_OWN else SERVED)
    assert ask(name, kwargs, cast.olivia) in SERVED


@pytest.mark.parametrize("name", [n for n, who in ACCESS.items() if who is Who.ANYONE])
def test_an_open_page_is_open(
    name: str, cast: Cast, places: dict[str, dict[str, Place]], tmp_path: Path, settings: Any
) -> None:
    settings.MAIL_FOLDER = str(tmp_path)
    assert ask(name, places.get(name, {}), AnonymousUser()) in SERVED


def test_a_key_of_another_organization_does_not_exist(cast: Cast) -> None:
    kwargs: dict[str, Place] = {"org": "acme", "key": cast.rival_key.api_key.id}
    assert ask("key_revoke", kwargs, cast.olivia) == 404
    assert ask("key_first_request", kwargs, cast.olivia) == 404
    cast.rival_key.api_key.refresh_from_db()
    assert cast.rival_key.api_key.is_active
