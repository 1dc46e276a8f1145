"""The customer's budgets: what is spent, what it will be, and who is told."""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing import budgets
from billing.models import Budget, BudgetAlert, UsageDay
from tenants.models import ApiKey
from tests.conftest import Cast
from tests.console.log_in import log_in_freshly
from tests.console.operator.conftest import text_of

URL = "/o/acme/budgets/"
USUAL = {"period": "month", "amount": "100", "is_hard": "on", "thresholds": "50, 80, 100"}


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    return log_in_freshly(client, cast.olivia)


def budget_of(cast: Cast, **facts: Any) -> Budget:
    usual: dict[str, Any] = {"amount": Decimal(100), "organization": cast.acme}
    return budgets.budget_set(actor=None, **usual | facts).budget


def spend(key: ApiKey, amount: str) -> None:
    UsageDay.objects.create(
        organization=key.organization, project=key.project, api_key=key, model="tiny",
        day=timezone.now().astimezone(UTC).date(), requests=1, failed_requests=0, input_tokens=1,
        cached_tokens=0, output_tokens=1, amount=Decimal(amount), currency="EUR",
    )  # fmt: skip


def alert(budget: Budget, threshold: int) -> BudgetAlert:
    return BudgetAlert.objects.create(
        budget=budget, organization=budget.organization, period_start=date(2026, 11, 1),
        threshold=threshold, spent=budget.amount,
    )  # fmt: skip


def test_without_budgets_the_page_says_what_one_does(olivia: Client) -> None:
    page = text_of(olivia.get(URL))
    assert "No budgets yet." in page
    assert "No alerts yet." in page


def test_a_budget_is_added_and_shows_what_is_spent_of_it(olivia: Client, cast: Cast) -> None:
    spend(cast.key.api_key, "25")
    typed = USUAL | {"scope": f"p:{cast.project.pk}", "emails": "cfo@acme.test, it@acme.test"}
    assert olivia.post(f"{URL}add/", typed)["Location"] == URL
    budget = Budget.objects.get()
    assert (budget.project, budget.amount, budget.is_hard) == (cast.project, Decimal(100), True)
    assert (budget.thresholds, budget.emails) == ([50, 80, 100], ["cfo@acme.test", "it@acme.test"])
    page = text_of(olivia.get(URL))
    assert "Project Search" in page
    assert "€25.00<" in page
    assert "25.0 %" in page


@pytest.mark.parametrize(
    ("typed", "field", "said"),
    [
        ({"amount": "-1"}, "amount", "More than zero"),
        ({"amount": "0"}, "amount", "More than zero"),
        ({"currency": "SEK"}, "currency", "a budget is in EUR too"),
        ({"thresholds": "50, 120"}, "thresholds", "Whole percents from 1 to 100"),
        ({"thresholds": "half"}, "thresholds", "Whole percents, as 50, 80, 100."),
        ({"emails": "nobody"}, "emails", "This is no address: nobody."),
        ({"webhook_url": "http://acme.test/"}, "webhook_url", "Start with https://"),
        ({"webhook_url": "https://10.0.0.1/"}, "webhook_url", "not on the public internet"),
        ({"scope": "k:rival"}, "scope", "is not one of the available choices"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_is_kept(
    olivia: Client, cast: Cast, typed: dict[str, str], field: str, said: str
) -> None:
    if typed.get("scope"):
        typed = {"scope": f"k:{cast.rival_key.api_key.pk}"}
    answer = olivia.post(f"{URL}add/", USUAL | typed)
    assert answer.status_code == 422
    assert said in str(answer.context["form"].errors[field])
    assert answer.context["form"]["period"].value() == "month"
    assert not Budget.objects.exists()


def test_a_second_budget_of_the_same_scope_and_period_is_refused(
    olivia: Client, cast: Cast
) -> None:
    budget_of(cast)
    answer = olivia.post(f"{URL}add/", USUAL)
    assert "change that one" in str(answer.context["form"].errors["scope"])


def test_a_budget_under_what_is_spent_says_that_it_stops_at_once(
    olivia: Client, cast: Cast
) -> None:
    spend(cast.key.api_key, "25")
    page = text_of(olivia.post(f"{URL}add/", USUAL | {"amount": "20"}, follow=True))
    assert "€25.00 is spent already: requests are refused from now on." in page
    assert "Requests refused" in page


def test_a_soft_budget_never_says_that_requests_stop(olivia: Client, cast: Cast) -> None:
    spend(cast.key.api_key, "25")
    typed = {name: value for name, value in USUAL.items() if name != "is_hard"}
    page = text_of(olivia.post(f"{URL}add/", typed | {"amount": "20"}, follow=True))
    assert "refused from now on" not in page
    assert "Used up" in page


def test_a_new_webhooks_secret_is_shown_once(olivia: Client, cast: Cast) -> None:
    typed = USUAL | {"webhook_url": "https://hooks.acme.test/x"}
    shown = olivia.post(f"{URL}add/", typed)
    assert "whsec_" in text_of(shown)
    assert "no-store" in shown["Cache-Control"]
    edit = f"{URL}{Budget.objects.get().pk}/edit/"
    assert olivia.post(edit, typed)["Location"] == URL
    assert "whsec_" not in text_of(olivia.get(URL)) + text_of(olivia.get(edit))


def test_a_budget_is_changed_and_removed(olivia: Client, cast: Cast) -> None:
    budget = budget_of(cast, api_key=cast.key.api_key)
    edit = f"{URL}{budget.pk}/edit/"
    assert 'value="100.00"' in text_of(olivia.get(edit, headers={"HX-Request": "true"}))
    olivia.post(edit, USUAL | {"amount": "70"})
    budget.refresh_from_db()
    assert (budget.amount, budget.api_key) == (Decimal(70), cast.key.api_key)
    assert "Key Acme production" in text_of(olivia.get(f"{URL}{budget.pk}/remove/"))
    assert olivia.post(f"{URL}{budget.pk}/remove/")["Location"] == URL
    assert not Budget.objects.exists()


def test_a_budget_of_another_organization_does_not_exist(olivia: Client, cast: Cast) -> None:
    theirs = budgets.budget_set(actor=None, organization=cast.rival, amount=Decimal(777)).budget
    assert "777" not in text_of(olivia.get(URL))
    for act in ("edit", "remove"):
        assert olivia.post(f"{URL}{theirs.pk}/{act}/", USUAL).status_code == 404
    theirs.refresh_from_db()
    assert theirs.amount == 777


def test_alerts_show_on_home_until_they_are_put_aside(
    olivia: Client, cast: Cast, client: Client
) -> None:
    budget = budget_of(cast)
    alert(budget, 80)
    alert(budget, 100)
    home = text_of(olivia.get("/o/acme/"))
    assert "2 budget alerts." in home
    assert (
        'Organization · <span class="nw">€100.00</span> are used up, requests are refused.' in home
    )
    assert olivia.post(f"{URL}seen/")["Location"] == URL
    assert "budget alerts" not in text_of(olivia.get("/o/acme/"))
    history = text_of(olivia.get(URL))
    assert '80 % of <span class="nw">€100.00</span> are spent' in history


def test_alerts_of_another_organization_stay_unseen(olivia: Client, cast: Cast) -> None:
    theirs = alert(
        budgets.budget_set(actor=None, organization=cast.rival, amount=Decimal(1)).budget, 50
    )
    assert "budget alert" not in text_of(olivia.get("/o/acme/"))
    olivia.post(f"{URL}seen/")
    theirs.refresh_from_db()
    assert theirs.seen_at is None


def test_a_developer_sees_budgets_and_changes_none(client: Client, cast: Cast) -> None:
    client.force_login(cast.max)
    alert(budget_of(cast), 50)
    page = text_of(client.get(URL))
    assert '50 % of <span class="nw">€100.00</span> are spent' in page
    assert "/edit/" not in page
    assert "Put aside" not in page


def test_the_queries_do_not_grow_with_the_budgets(
    olivia: Client, cast: Cast, django_assert_max_num_queries: Any
) -> None:
    for scope in ({}, {"project": cast.project}, {"api_key": cast.key.api_key}):
        alert(budget_of(cast, **scope), 50)
    with django_assert_max_num_queries(8):
        olivia.get(URL)
