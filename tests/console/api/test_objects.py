"""What can be done to each kind of object."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest
from django.core import mail
from pytest_django.fixtures import Settings

from billing.budgets import budget_set
from billing.models import Budget, Limit, LimitKind, Rate
from billing.price_books import list_book
from inference.models import Deployment, Model, Region
from tenants.models import ApiKey, OrganizationState, Project, User
from tests.conftest import Cast
from tests.console.api.conftest import Api, logged_in

pytestmark = pytest.mark.django_db

ORGANIZATION: Final = "/organization"


@pytest.fixture
def path(cast: Cast) -> str:
    return f"{ORGANIZATION}/projects/{cast.project.pk}"


def test_a_key_is_made_scoped_changed_rotated_and_revoked(api: Api, path: str) -> None:
    robot = api.post(f"{path}/service_accounts", name="r", create_service_account_only=True).body
    assert robot["api_key"] is None
    made = api.post(
        f"{path}/api_keys",
        name="batch",
        service_account_id=robot["id"],
        expires_in_seconds=3600,
        allowed_tasks=["embedding"],
        allowed_networks=["203.0.113.0/24"],
    ).body
    assert made["expires_at"] - made["created_at"] in {3599, 3600}
    assert (made["allowed_tasks"], made["allowed_networks"]) == (["embedding"], ["203.0.113.0/24"])
    one = f"{path}/api_keys/{made['id']}"
    changed = api.post(one, name="nightly", allowed_models=["tiny"]).body
    assert (changed["name"], changed["allowed_models"]) == ("nightly", ["tiny"])
    assert (changed["allowed_tasks"], changed["expires_at"]) == (["embedding"], made["expires_at"])
    rotated = api.post(f"{one}/rotate", overlap_seconds=0).body
    assert rotated["id"] == made["id"]
    assert rotated["value"] not in {made["value"], None}
    assert api.delete(one).body["deleted"] is True
    assert ApiKey.objects.get(pk=made["id"]).revoked_at
    assert api.get(one).status == api.delete(one).status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"allowed_networks": ["everywhere"]}, None),
        ({"allowed_tasks": ["juggling"]}, "allowed_tasks[0]"),
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({}, "service_account_id"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(
    body: dict[str, Any], param: str | None, api: Api, path: str
) -> None:
    robot = api.post(f"{path}/service_accounts", name="r", create_service_account_only=True).body
    owner = {"service_account_id": robot["id"]} if body else {}
    count = ApiKey.objects.count()
    told = api.post(f"{path}/api_keys", name="k", **owner, **body)
    assert (told.status, told.error["param"]) == (400, param)
    assert ApiKey.objects.count() == count


def test_somebody_logged_in_makes_a_key_of_their_own(cast: Cast, path: str) -> None:
    made = logged_in(cast.max).post(f"{path}/api_keys", name="mine").body
    assert made["owner"]["user"]["email"] == cast.max.email
    assert made["value"].startswith("sluice_sk_")


def test_rate_limits_are_set_kept_and_taken_away(api: Api, path: str, cast: Cast) -> None:
    one = f"{path}/rate_limits/rl-*"
    api.post(one, max_requests_per_1_minute=60, max_concurrent_requests=4)
    told = api.post(one, max_requests_per_1_minute=None).body
    assert (told["max_requests_per_1_minute"], told["max_concurrent_requests"]) == (None, 4)
    limit = Limit.objects.get()
    assert (limit.project, limit.kind, limit.value) == (cast.project, LimitKind.STREAMS, 4)
    assert api.post(f"{path}/rate_limits/rl-nothing", max_tokens_per_1_minute=5).status == 404


def test_a_spend_limit_is_a_hard_budget_of_the_month(api: Api, path: str, cast: Cast) -> None:
    budget_set(
        actor=None, organization=cast.acme, project=cast.project, amount=Decimal(5),
        is_hard=False, thresholds=[90], emails=["cfo@acme.test"],
    )  # fmt: skip
    assert api.get(f"{path}/spend_limit").status == 404
    wanted: dict[str, Any] = {"threshold_amount": 1250, "currency": "EUR", "interval": "month"}
    told = api.post(f"{path}/spend_limit", **wanted).body
    assert told == {
        "object": "project.spend_limit", "enforcement": {"status": "enforcing"}, **wanted,
    }  # fmt: skip
    budget = Budget.objects.get()
    assert (budget.amount, budget.is_hard) == (Decimal("12.50"), True)
    assert (budget.thresholds, budget.emails) == ([90], ["cfo@acme.test"])
    assert api.delete(f"{path}/spend_limit").body["deleted"] is True
    assert not Budget.objects.exists()
    whole = api.post(f"{ORGANIZATION}/spend_limit", **wanted).body
    assert whole["object"] == "organization.spend_limit"


def test_budgets_of_every_scope_are_listed(api: Api, cast: Cast) -> None:
    made = api.post(f"{ORGANIZATION}/budgets", amount="9.99", api_key_id=str(cast.key.api_key.pk))
    assert (made.status, made.body["amount"]) == (200, "9.99")
    assert [one["id"] for one in api.get(f"{ORGANIZATION}/budgets").body["data"]] == [
        made.body["id"]
    ]
    strange = api.post(
        f"{ORGANIZATION}/budgets", amount=1, api_key_id=str(cast.rival_key.api_key.pk)
    )
    assert strange.status == 404
    for amount in ("NaN", "Infinity", "0", "1.001", "-1", "1e40"):
        assert api.post(f"{ORGANIZATION}/budgets", amount=amount).status == 400, amount
    assert api.delete(f"{ORGANIZATION}/budgets/{made.body['id']}").status == 200


@pytest.mark.usefixtures("commits_at_once")
def test_an_invitation_is_mailed_with_its_link(api: Api, cast: Cast) -> None:
    api.post(f"{ORGANIZATION}/invites", email="new@acme.test", role="developer")
    [sent] = mail.outbox
    assert sent.to == ["new@acme.test"]
    assert "/invitations/" in sent.body


def test_an_archived_project_takes_no_keys(api: Api, path: str, cast: Cast) -> None:
    assert api.post(f"{path}/archive").body["status"] == "archived"
    assert Project.objects.get(pk=cast.project.pk).archived_at
    assert api.post(f"{path}/service_accounts", name="late").status == 400


def test_an_operator_runs_the_fleet_by_script(cast: Cast, region: Region) -> None:
    operator = logged_in(cast.oskar)
    model = operator.post(
        "/platform/models", public_id="acme/tiny", name="Tiny", owned_by="Acme", tasks=["chat"],
        context_tokens=2048,
    ).body  # fmt: skip
    backend = operator.post(
        "/platform/backends", name="gpu-1", base_url="http://10.0.0.5:8000", region=region.code,
        engine_key="secret",
    ).body  # fmt: skip
    assert "secret" not in str(backend)
    deployed = operator.post(
        "/platform/deployments", model="acme/tiny", backend="gpu-1", engine_model="tiny"
    ).body
    enable = f"/platform/models/{model['id']}"
    assert operator.post(enable, is_enabled=True).status == 400
    for component in ("input", "cached_input", "output"):
        operator.post("/platform/rates", model="acme/tiny", component=component, price="0.25")
    assert operator.post(enable, is_enabled=True).body["is_enabled"] is True
    told = operator.post(f"/platform/backends/{backend['id']}", state="draining", weight=3).body
    assert (told["state"], told["weight"]) == ("draining", 3)
    assert operator.delete(f"/platform/deployments/{deployed['id']}").status == 200
    assert (Model.objects.count(), Deployment.objects.count(), Rate.objects.count()) == (1, 0, 3)
    for listed in ("models", "backends", "deployments", "rates"):
        assert operator.get(f"/platform/{listed}").status == 200


def test_an_operator_opens_stops_and_limits_organizations(cast: Cast) -> None:
    operator = logged_in(cast.oskar)
    made = operator.post(
        "/platform/organizations", name="New", slug="new", owner_email="n@new.test", owner_name="N"
    ).body
    taken = operator.post(
        "/platform/organizations", name="New", slug="new", owner_email="n@new.test", owner_name="N"
    )
    assert (taken.status, taken.error["param"]) == (400, "slug")
    one = f"/platform/organizations/{made['id']}"
    refused = operator.post(f"{one}/state", state="suspended")
    assert (refused.status, refused.body["error"]["param"]) == (400, "reason")
    told = operator.post(f"{one}/state", state="suspended", reason="unpaid").body
    assert (told["state"], told["state_reason"]) == (OrganizationState.SUSPENDED, "unpaid")
    assert operator.post(f"{one}/state", state="active").body["state"] == OrganizationState.ACTIVE
    limit = operator.post("/platform/limits", organization_id=made["id"], kind="rpm", value=5).body
    assert operator.get("/platform/limits", organization_id=made["id"]).body["data"] == [limit]
    assert operator.delete(f"/platform/limits/{limit['id']}").status == 200


def test_prices_are_proposed_looked_at_and_approved(
    cast: Cast, region: Region, settings: Settings
) -> None:
    settings.PRICE_APPROVAL = True
    greta = User.objects.create_user("greta@sluice.test", "-", name="Greta", is_staff=True)
    first, second = logged_in(cast.oskar), logged_in(greta)
    first.post(
        "/platform/models", public_id="acme/tiny", name="Tiny", owned_by="Acme", tasks=["chat"],
        context_tokens=2048,
    )  # fmt: skip
    asked: dict[str, Any] = {"model": "acme/tiny", "component": "output", "price": "4"}
    book = first.post(
        "/platform/price_books", slug="acme", name="Acme", parent_id=str(list_book().pk),
        organization_id=str(cast.acme.pk),
    ).body  # fmt: skip
    asked["price_book_id"] = book["id"]
    assert first.post("/platform/rates/preview", **asked).body["organizations"] == []
    waiting = first.post("/platform/rates", **asked).body
    assert (waiting["approved_at"], waiting["currency"]) == (None, "EUR")
    one = f"/platform/rates/{waiting['id']}"
    assert first.post(f"{one}/approve").status == 400
    assert second.post(f"{one}/approve").body["approved_at"]
    assert first.delete(one).status == 400
    found = first.get("/platform/rates", price_book_id=book["id"], is_approved="true").body
    assert [rate["id"] for rate in found["data"]] == [waiting["id"]]
    withdrawn = first.post("/platform/rates", **asked | {"price": "5"}).body
    assert first.delete(f"/platform/rates/{withdrawn['id']}").status == 200
    tiers = [{"from_amount": 1000, "percent": 5}]
    told = first.post(f"/platform/price_books/{book['id']}/volume_tiers", volume_tiers=tiers).body
    assert told["volume_tiers"] == [{"from_amount": 1000, "percent": 5}]
    assert first.post("/platform/rates", **asked | {"price": "NaN"}).error["param"] == "price"


def test_plans_and_what_organizations_buy_by(cast: Cast) -> None:
    operator = logged_in(cast.oskar)
    made = operator.post(
        "/platform/plans", slug="team", name="Team", rpm=60, mode="postpaid", credit_limit="250",
        models=["acme/tiny"],
    ).body  # fmt: skip
    changed = operator.post(f"/platform/plans/{made['id']}", name="Team", promo_monthly="3").body
    assert (changed["rpm"], changed["mode"], changed["promo_monthly"]) == (None, "prepaid", "3")
    terms = f"/platform/organizations/{cast.acme.pk}/terms"
    assert operator.get(terms).body["plan_id"] is None
    assert operator.post(terms, plan_id=made["id"]).error["param"] == "reason"
    told = operator.post(terms, plan_id=made["id"], reason="asked", currency="SEK").body
    assert (told["plan_id"], told["mode"], told["currency"]) == (made["id"], "prepaid", "SEK")
    refused = operator.post(terms, price_book_id=str(list_book().pk), reason="asked")
    assert (refused.status, refused.error["param"]) == (400, "book")
    assert operator.post(terms, credit_limit="5", reason="asked").error["param"] == "credit_limit"


def test_an_exchange_rate_is_entered(cast: Cast) -> None:
    operator = logged_in(cast.oskar)
    rates = "/platform/exchange_rates"
    made = operator.post(rates, day="2026-03-26", rate="11.0535", source="Riksbank").body
    assert (made["day"], made["rate"], made["source"]) == ("2026-03-26", "11.0535", "Riksbank")
    (listed,) = operator.get(rates).body["data"]
    assert listed["id"] == made["id"]
    assert operator.post(rates, day="2026-02-30", rate="11", source="Riksbank").status == 400
    assert operator.post(rates, day="2026-03-26", rate="0.09", source="Riksbank").status == 400
