"""Plans: what customers may choose, what operators decide, and the credit of each month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing import plans
from billing.ledger import prepaid_top_up, promo_grant, usage_post, wallet_read
from billing.models import Account, AccountKind, Component, Currency, Mode, Plan, Terms
from billing.payments import payment_enter
from billing.price_books import list_book, price_book_create
from inference.snapshot import EVERYTHING, scope_of, snapshot_load
from tenants.models import AuditEntry, Membership, Organization, Role, User, new_id
from tests.conftest import Cast


def plan(slug: str, **changes: object) -> Plan:
    found = Plan.objects.filter(slug=slug)
    if changes:
        found.update(**changes)
    return found.get()


def promo(organization: Organization) -> Decimal:
    return wallet_read([organization.pk])[organization.pk].promo


def passkey_made(user: User) -> None:
    Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data={})


@pytest.fixture
def begun(cast: Cast) -> Terms:
    """Acme signed up by itself, with a passkey."""
    passkey_made(cast.olivia)
    terms = plans.plan_begin(actor=cast.olivia, organization=cast.acme)
    assert terms
    return terms


def test_who_signs_up_begins_on_the_free_plan_with_its_credit(cast: Cast, begun: Terms) -> None:
    assert (begun.plan, begun.mode) == (plan("free"), Mode.PREPAID)
    assert promo(cast.acme) == 5
    lot = Account.objects.get(kind=AccountKind.PROMO)
    now = timezone.now()
    assert lot.expires_at
    assert lot.expires_at.day == 1
    assert timedelta(0) < lot.expires_at - now <= timedelta(days=31)


def test_free_credit_waits_for_a_passkey_of_an_owner(cast: Cast, client: Client) -> None:
    plans.plan_begin(actor=cast.olivia, organization=cast.acme)
    passkey_made(cast.max)
    client.force_login(cast.olivia)
    for page in ("", "plan/"):
        assert "free credit waits" in client.get(f"/o/acme/billing/{page}").text
    assert plans.promo_monthly_grant(timezone.now()) == promo(cast.acme) == 0
    passkey_made(cast.olivia)
    assert not plans.promo_awaits_proof(cast.acme)
    assert plans.promo_monthly_grant(timezone.now()) == 1
    assert promo(cast.acme) == 5
    assert "free credit waits" not in client.get("/o/acme/billing/").text


def test_the_passkey_of_an_owner_counts_once_a_month(cast: Cast, begun: Terms) -> None:
    Membership.objects.create(organization=cast.rival, user=cast.olivia, role=Role.OWNER)
    plans.plan_begin(actor=cast.olivia, organization=cast.rival)
    assert plans.promo_awaits_proof(cast.rival)
    assert not plans.promo_awaits_proof(cast.acme), "it has its credit"
    assert plans.promo_monthly_grant(timezone.now()) == promo(cast.rival) == 0


def test_or_for_a_payment_and_for_nothing_where_we_chose_the_plan(cast: Cast) -> None:
    for one in (cast.acme, cast.rival):
        plans.plan_begin(actor=None, organization=one)
    payment_enter(actor=cast.oskar, organization=cast.acme, amount=Decimal(125), reference="BG 1")
    assert plans.promo_monthly_grant(timezone.now()) == 1
    plan("free", self_service=False)
    assert plans.promo_monthly_grant(timezone.now()) == 1
    assert promo(cast.acme) == promo(cast.rival) == 5


@pytest.mark.parametrize(("setting", "mode"), [("", None), ("nothing", Mode.PREPAID)])
def test_the_plan_of_who_signs_up_is_a_setting(
    cast: Cast, settings: Settings, setting: str, mode: Mode | None
) -> None:
    settings.SIGN_UP_PLAN = setting
    terms = plans.plan_begin(actor=cast.olivia, organization=cast.acme)
    assert (terms and terms.mode) == mode


def test_the_credit_of_a_month_comes_once_and_again_in_the_next(cast: Cast, begun: Terms) -> None:
    now = timezone.now()
    assert plans.promo_monthly_grant(now) == 0
    for slug in ("build", "free"):
        plans.plan_change(actor=cast.olivia, organization=cast.acme, plan=plan(slug))
    plan("free", promo_monthly=Decimal(7))
    assert plans.promo_monthly_grant(now) == 0, "another amount is not another month"
    assert promo(cast.acme) == 5
    next_month = (now.replace(day=1) + timedelta(days=40)).replace(day=1)
    assert plans.promo_monthly_grant(next_month) == 1
    assert plans.promo_monthly_grant(next_month) == 0
    assert promo(cast.acme) == 12, "the first lot still counts today"


def test_a_month_ends_with_the_year_and_on_a_leap_day() -> None:
    ends = {
        datetime(2027, 12, 31, 23, 59, tzinfo=UTC): datetime(2028, 1, 1, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC): datetime(2028, 3, 1, tzinfo=UTC),
    }
    assert {now: plans._next_month(now) for now in ends} == ends


def test_a_suspended_organization_gets_no_credit(cast: Cast, begun: Terms) -> None:
    Organization.objects.update(state="suspended")
    assert plans.promo_monthly_grant(timezone.now() + timedelta(days=40)) == 0


def test_a_customer_changes_to_what_is_paid_in_advance(cast: Cast, begun: Terms) -> None:
    changed = plans.plan_change(actor=cast.olivia, organization=cast.acme, plan=plan("build"))
    assert (changed.plan, changed.mode) == (plan("build"), Mode.PREPAID)
    assert changed.plan_since
    told = AuditEntry.objects.get(action="plan.change")
    assert (told.data["before"], told.data["plan"]) == ("free", "build")


def refused(cast: Cast, slug: str) -> str:
    with pytest.raises(ValidationError) as refusal:
        plans.plan_change(actor=cast.olivia, organization=cast.acme, plan=plan(slug))
    return " ".join(refusal.value.messages)


def test_a_customer_does_not_change_to_credit_or_away_from_a_contract(
    cast: Cast, begun: Terms
) -> None:
    assert "paid afterwards" in refused(cast, "scale")
    assert "paid afterwards" in refused(cast, "enterprise")
    assert "already" in refused(cast, "free")
    by_hand: dict[str, Any] = {"actor": cast.oskar, "organization": cast.acme}
    own = price_book_create(actor=None, slug="own", name="Own", parent=list_book())
    plans.terms_set_book(**by_hand, book=own, reason="a contract")
    assert "agreed on" in refused(cast, "build")
    plans.terms_set_book(**by_hand, book=None, reason="it is over")
    plans.plan_change(**by_hand, plan=plan("enterprise"), reason="a contract")
    assert "agreed on" in refused(cast, "build")


def test_who_owes_stays_on_credit_until_it_is_paid(cast: Cast, begun: Terms) -> None:
    by_hand: dict[str, Any] = {
        "actor": cast.oskar,
        "organization": cast.acme,
        "reason": "asked by phone",
    }
    plans.plan_change(**by_hand, plan=plan("scale"))
    usage_post(new_id(), {cast.acme.pk: {Component.OUTPUT: Decimal(6)}}, timezone.now())
    assert "waits to be paid" in refused(cast, "build")
    assert plans.plan_change(**by_hand, plan=plan("build")).mode == Mode.PREPAID


def test_what_no_card_can_pay_keeps_nobody_on_a_plan(cast: Cast, begun: Terms) -> None:
    usage_post(new_id(), {cast.acme.pk: {Component.OUTPUT: Decimal("5.49")}}, timezone.now())
    plans.plan_change(actor=cast.olivia, organization=cast.acme, plan=plan("build"))


def test_an_operator_says_why_and_may_set_another_credit_limit(cast: Cast) -> None:
    by_hand: dict[str, Any] = {
        "actor": cast.oskar,
        "organization": cast.acme,
        "plan": plan("scale"),
    }
    with pytest.raises(ValidationError, match="Say why"):
        plans.plan_change(**by_hand)
    terms = plans.plan_change(**by_hand, reason="asked by phone")
    assert (terms.mode, terms.credit_limit) == (Mode.POSTPAID, Decimal(500))
    terms = plans.plan_change(**by_hand, reason="more", credit_limit=Decimal(900))
    assert terms.credit_limit == Decimal(900)
    with pytest.raises(ValidationError, match="no credit limit"):
        plans.plan_change(
            **by_hand | {"plan": plan("build")}, reason="less", credit_limit=Decimal(1)
        )
    assert AuditEntry.objects.filter(action="plan.change").count() == 2


def test_money_of_a_plan_is_not_taken_for_another_currency(cast: Cast) -> None:
    plans.currency_set(actor=cast.oskar, organization=cast.acme, currency=Currency.SEK)
    by_hand: dict[str, Any] = {
        "actor": cast.oskar,
        "organization": cast.acme,
        "reason": "in Sweden",
    }
    assert plans.plan_change(**by_hand, plan=plan("free")).plan
    assert promo(cast.acme) == 0, "its credit is in EUR"
    with pytest.raises(ValidationError, match="credit limit in SEK"):
        plans.plan_change(**by_hand, plan=plan("scale"))
    terms = plans.plan_change(**by_hand, plan=plan("scale"), credit_limit=Decimal(5000))
    assert (terms.currency, terms.credit_limit) == ("SEK", Decimal(5000))
    plan("build", book=price_book_create(actor=None, slug="b", name="B", parent=list_book()))
    with pytest.raises(ValidationError, match="another currency"):
        plans.plan_change(**by_hand, plan=plan("build"))


def test_a_currency_stays_once_the_books_have_an_entry(cast: Cast) -> None:
    by_hand: dict[str, Any] = {"actor": cast.oskar, "organization": cast.acme}
    plans.currency_set(**by_hand, currency=Currency.SEK)
    prepaid_top_up(**by_hand, amount=Decimal(100), reference="bank 1")
    assert set(Account.objects.values_list("currency", flat=True)) == {"SEK"}
    with pytest.raises(ValidationError, match="its currency stays"):
        plans.currency_set(**by_hand, currency=Currency.EUR)
    promo_grant(
        actor=cast.oskar, organization=cast.rival, amount=Decimal(1), expires_at=None, reason="-"
    )
    with pytest.raises(ValidationError, match="its currency stays"):
        plans.currency_set(actor=cast.oskar, organization=cast.rival, currency=Currency.SEK)


def test_a_plan_for_some_models_bounds_every_key(cast: Cast, begun: Terms) -> None:
    digest = bytes(cast.key.api_key.digest)
    assert snapshot_load().keys[digest].scope == EVERYTHING
    plan("free", models=["small", "tiny"])
    assert snapshot_load().keys[digest].scope == scope_of([], ["small", "tiny"], [])
    cast.key.api_key.allowed_models = ["tiny", "large"]
    cast.key.api_key.save()
    assert snapshot_load().keys[digest].scope.models == frozenset({"tiny"})
