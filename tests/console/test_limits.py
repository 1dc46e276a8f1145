"""The customer's limits: what holds, how much is in use, and those of projects and keys."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from django.test import Client
from django.utils import timezone

from billing import limiting
from billing.holds import Ask, HoldsClient, LimitAsk
from billing.models import Limit, LimitKind, Plan, Terms
from billing.services import rate_set
from console import limit_rows
from inference import control
from inference.models import Model, Task
from tenants.models import Role
from tenants.valkey import async_client
from tests.conftest import Cast
from tests.console.operator.conftest import text_of

URL = "/o/acme/limits/"
RPM = LimitKind.REQUESTS_MINUTE


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


@pytest.fixture
def plan(cast: Cast) -> Plan:
    """Acme is on a plan of 300 requests a minute."""
    plan = Plan.objects.get(slug="build")
    Terms.objects.create(organization=cast.acme, plan=plan)
    return plan


@pytest.fixture
def model(cast: Cast) -> Model:
    made = control.model_create(
        actor=None,
        public_id="acme/tiny",
        name="Tiny",
        tasks=[Task.CHAT],
        context_tokens=2048,
        owned_by="Acme",
    )
    for component in made.components:
        rate_set(actor=None, model="acme/tiny", component=component, price=Decimal(1))
    return control.model_set_enabled(actor=None, model=made, enabled=True)


def limit_set(cast: Cast, value: int, **facts: Any) -> Limit:
    usual: dict[str, Any] = {"kind": RPM, "organization": cast.acme}
    return limiting.limit_set(actor=None, value=value, **usual | facts)


async def reserve(organization: UUID, *limits: LimitAsk) -> None:
    async with async_client() as valkey:
        holds = HoldsClient(valkey, "gateway-1")
        await holds.start()
        await holds.reserve(Ask(uuid4(), organization, 0, (), limits, "gateway-1"))
        await holds.stop()


def test_without_limits_the_page_says_so(olivia: Client) -> None:
    assert "No limits:" in text_of(olivia.get(URL))


def test_the_plans_limits_show_with_their_header(olivia: Client, plan: Plan) -> None:
    page = text_of(olivia.get(URL))
    assert "You are on the plan Build." in page
    assert "x-ratelimit-limit-tokens" in page
    assert "500 000" in page
    assert "Plan Build" in page


def test_what_is_in_use_shows(olivia: Client, plan: Plan, cast: Cast) -> None:
    asyncio.run(reserve(cast.acme.pk, LimitAsk("o", LimitKind.STREAMS, 20)))
    page = text_of(olivia.get(URL, headers={"HX-Request": "true"}))
    assert "<html" not in page
    row = page[page.index("Concurrent requests") :]
    assert '<td class="n">1</td> <td class="n">20</td>' in row


def test_an_own_limit_shows_its_reason_and_end(olivia: Client, plan: Plan, cast: Cast) -> None:
    ends = timezone.now().replace(year=2040, month=2, day=3, hour=4, minute=5)
    limit_set(cast, 999, reason="Load test", ends_at=ends)
    page = text_of(olivia.get(URL))
    assert "Load test" in page
    assert "3 Feb 2040 04:05" in page
    assert "999" in page


def test_without_the_counters_the_use_is_not_known(
    olivia: Client, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(limit_rows, "limits_state", away)
    page = text_of(olivia.get(URL))
    assert "The counters do not answer. The limits hold." in page
    assert '<td class="n">–</td> <td class="n">300</td>' in page


def test_an_owner_limits_a_project_and_takes_it_back(
    olivia: Client, plan: Plan, cast: Cast, model: Model
) -> None:
    typed = {"scope": f"p:{cast.project.pk}", "kind": "rpm", "value": "30", "model": "acme/tiny"}
    assert olivia.post(f"{URL}add/", typed)["Location"] == URL
    limit = Limit.objects.get()
    assert (limit.project, limit.value, limit.model) == (cast.project, 30, "acme/tiny")
    assert (limit.set_by, limit.organization) == (cast.olivia, cast.acme)

    page = text_of(olivia.get(URL))
    assert "Project Search" in page
    remove = f"{URL}{limit.pk}/remove/"
    assert remove in page
    assert "Remove the limit of Project Search" in text_of(olivia.get(remove))
    assert olivia.post(remove)["Location"] == URL
    assert not Limit.objects.exists()


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"value": "-3"}, "value", "At least 1."),
        ({"value": "0"}, "value", "At least 1."),
        ({"value": "301"}, "value", "The organization itself may use 300."),
        ({"value": "many"}, "value", "Enter a whole number."),
        ({"scope": "p:rival"}, "scope", "is not one of the available choices"),
        ({"kind": "rps"}, "kind", "is not one of the available choices"),
        ({"model": "no/such"}, "model", "is not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    olivia: Client, plan: Plan, cast: Cast, typed: dict[str, str], field: str, said: str
) -> None:
    usual = {"scope": f"k:{cast.key.api_key.pk}", "kind": "rpm", "value": "30"}
    if typed.get("scope"):
        typed = {"scope": f"p:{cast.rival_project.pk}"}
    answer = olivia.post(f"{URL}add/", usual | typed)
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert not Limit.objects.exists()


def test_the_organizations_own_limit_is_not_the_customers_to_remove(
    olivia: Client, cast: Cast
) -> None:
    limit = limit_set(cast, 5)
    assert f"{limit.pk}" not in text_of(olivia.get(URL))
    assert olivia.post(f"{URL}{limit.pk}/remove/").status_code == 404
    assert Limit.objects.exists()


def test_limits_of_another_organization_do_not_exist(olivia: Client, cast: Cast) -> None:
    theirs = limiting.limit_set(
        actor=None, organization=cast.rival, project=cast.rival_project, kind=RPM, value=77
    )
    assert ">77<" not in text_of(olivia.get(URL))
    assert olivia.post(f"{URL}{theirs.pk}/remove/").status_code == 404
    assert Limit.objects.exists()


def test_a_developer_sees_limits_and_changes_none(client: Client, cast: Cast) -> None:
    client.force_login(cast.max)
    limit_set(cast, 5, project=cast.project)
    page = text_of(client.get(URL))
    assert "Project Search" in page
    assert "/remove/" not in page
    assert "/limits/add/" not in page
    assert cast.max.memberships.get().role == Role.DEVELOPER


def test_the_queries_do_not_grow_with_the_limits(
    olivia: Client, plan: Plan, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for kind in (RPM, LimitKind.STREAMS):
        limit_set(cast, 5, kind=kind, project=cast.project)
        limit_set(cast, 5, kind=kind, api_key=cast.key.api_key)
    with django_assert_max_num_queries(7):
        olivia.get(URL)
