"""The operator's limits: plans, what was agreed instead, and who is refused."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing import limiting
from billing.limited import limited_key
from billing.models import Currency, Limit, LimitKind, Mode, Plan, Terms
from billing.price_books import list_book, price_book_create
from tenants.models import AuditEntry
from tenants.valkey import client as valkey
from tests.conftest import Cast
from tests.console.operator.conftest import text_of

URL = "/operator/limits/"
PLANS = "/operator/plans/"
ACME = "/operator/organizations/acme/limits/"
RPM = LimitKind.REQUESTS_MINUTE


@pytest.fixture
def build(cast: Cast) -> Plan:
    """Acme is on Build, Rival is on no plan."""
    plan = Plan.objects.get(slug="build")
    Terms.objects.create(organization=cast.acme, plan=plan)
    return plan


def refuse(cast: Cast, counter: str, count: int) -> None:
    key = limited_key(timezone.now())
    valkey().hincrby(key, f"{cast.acme.pk.hex}|{counter}", count)


def agree(cast: Cast, value: int, **facts: Any) -> Limit:
    usual: dict[str, Any] = {"kind": RPM, "reason": "Launch", "organization": cast.acme}
    return limiting.limit_set(actor=cast.oskar, value=value, **usual | facts)


def test_the_matrix_shows_plans_and_what_was_agreed_instead(
    operator: Client, cast: Cast, build: Plan
) -> None:
    agree(cast, 777, ends_at=timezone.now().replace(year=2040, month=1, day=2, hour=3, minute=4))
    page = text_of(operator.get(URL))
    acme = page[page.index(">Acme</a>") : page.index(">Rival</a>")]
    assert "Build" in acme
    assert 'title="Launch"' in acme
    assert "777" in acme
    assert "2 Jan 2040 03:04" in acme
    assert "500 000" in acme
    assert "Enterprise" in page


def test_the_matrix_is_filtered(operator: Client, cast: Cast, build: Plan) -> None:
    def names(query: str) -> list[str]:
        return [row.organization.name for row in operator.get(f"{URL}?{query}").context["rows"]]

    assert names("") == ["Acme", "Rival"]
    assert names("q=riv") == ["Rival"]
    assert names("plan=build") == ["Acme"]
    assert names("which=own") == []
    agree(cast, 5)
    assert names("which=own") == ["Acme"]
    assert names("which=refused") == []
    refuse(cast, "o", 3)
    assert names("which=refused") == ["Acme"]
    assert "No organization is like this." in text_of(operator.get(f"{URL}?q=nobody"))


def test_who_is_refused_and_for_what_shows(operator: Client, cast: Cast, build: Plan) -> None:
    refuse(cast, "o", 12)
    refuse(cast, "w", 3)
    assert "1 organization was refused" in text_of(operator.get(URL))
    page = text_of(operator.get(ACME))
    assert page.index("12</td>") < page.index("Credit")


def test_the_queries_do_not_grow_with_the_organizations(
    operator: Client, cast: Cast, build: Plan, django_assert_max_num_queries: Any
) -> None:
    agree(cast, 5)
    with django_assert_max_num_queries(6):
        operator.get(URL)


def test_another_limit_is_agreed_for_a_time_and_taken_back(
    operator: Client, cast: Cast, build: Plan
) -> None:
    typed = {"kind": "rpm", "value": "5000", "reason": "Load test", "ends_at": "2040-01-02T03:04"}
    assert operator.post(ACME, typed)["Location"] == ACME
    limit = Limit.objects.get()
    assert (limit.value, limit.reason, limit.project, limit.set_by) == (
        5000, "Load test", None, cast.oskar,
    )  # fmt: skip
    assert limit.ends_at is not None
    assert limit.ends_at.isoformat() == "2040-01-02T03:04:00+00:00"
    page = text_of(operator.get(ACME))
    assert "Load test" in page
    assert "Oskar Lund" in page
    remove = f"{URL}{limit.pk}/remove/"
    assert "300, by the plan Build" in text_of(operator.get(remove))
    assert operator.post(remove)["Location"] == ACME
    assert not Limit.objects.exists()
    assert AuditEntry.objects.filter(action="limit.remove", actor=cast.oskar).exists()


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"value": "-1"}, "value", "At least 1."),
        ({"ends_at": "2020-01-01T00:00"}, "ends_at", "over already"),
        ({"reason": ""}, "reason", "required"),
        ({"kind": ""}, "kind", "required"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    operator: Client, build: Plan, typed: dict[str, str], field: str, said: str
) -> None:
    usual = {"kind": "rpm", "value": "5000", "reason": "Load test"}
    answer = operator.post(ACME, usual | typed)
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert not Limit.objects.exists()


def test_a_limit_that_ended_is_not_shown(operator: Client, cast: Cast, build: Plan) -> None:
    limit = agree(cast, 777)
    Limit.objects.filter(pk=limit.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
    assert "777" not in text_of(operator.get(URL))
    assert "777" not in text_of(operator.get(ACME))


def test_a_plan_is_made_and_changed(operator: Client, cast: Cast, build: Plan) -> None:
    typed = {"slug": "trial", "name": "Trial", "rpm": "5"}
    assert operator.post(f"{PLANS}add/", typed)["Location"] == PLANS
    assert Plan.objects.get(slug="trial").tpm is None
    page = f"{PLANS}build/"
    assert "1 organization is on it" in text_of(operator.get(page))
    operator.post(page, {"name": "Build", "rpm": "301"})
    build.refresh_from_db()
    assert (build.rpm, build.streams) == (301, None)


def test_a_plan_sets_how_its_customers_buy(operator: Client, build: Plan) -> None:
    kronor = price_book_create(
        actor=None, slug="kronor", name="Kronor", parent=list_book(Currency.SEK)
    )
    typed = {
        "name": "Build", "mode": "postpaid", "credit_limit": "900", "promo_monthly": "20",
        "book": str(kronor.pk), "support": "By telephone", "is_public": "on",
        "self_service": "on", "rank": "15",
    }  # fmt: skip
    assert operator.post(f"{PLANS}build/", typed).status_code == 302
    build.refresh_from_db()
    assert (build.credit_limit, build.promo_monthly) == (Decimal(900), Decimal(20))
    assert (build.mode, build.book) == (Mode.POSTPAID, kronor)
    assert (build.support, build.rank) == ("By telephone", 15)
    assert build.is_public
    assert build.self_service
    page = text_of(operator.get(PLANS))
    for said in ("up to SEK 900.00", "SEK 20.00 free each month", "Kronor", "By telephone"):
        assert said in page
    form = operator.get(f"{PLANS}build/").context["form"]
    assert {name: form.initial[name] for name in ("rank", "self_service")} == {
        "rank": 15, "self_service": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "field"),
    [({"slug": "build"}, "slug"), ({"slug": "add"}, "slug"), ({"tpm": "0"}, "tpm")],
)
def test_a_plan_that_cannot_be_is_refused(
    operator: Client, build: Plan, typed: dict[str, str], field: str
) -> None:
    answer = operator.post(f"{PLANS}add/", {"slug": "trial", "name": "Trial"} | typed)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
