"""The customer's billing home and statement: what there is, what is owed, and why."""

from __future__ import annotations

import csv
import io
from datetime import UTC, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from billing.budgets import budget_set
from billing.invoices import invoice_finalise
from billing.ledger import prepaid_top_up, promo_grant, usage_post
from billing.limiting import terms_set
from billing.models import Component, Dunning, Mode, Provider
from billing.payments import Way, excess_return
from billing.payments.booking import invoice_settle
from tests.billing.payments.drafts import draft_make
from tests.conftest import Cast
from tests.console.usage_rows import used
from tests.console.words import words_of

URL = "/o/acme/billing/"


@pytest.fixture
def olivia(client: Client, cast: Cast) -> Client:
    client.force_login(cast.olivia)
    return client


def prepaid(cast: Cast, amount: str = "", promo: str = "") -> None:
    terms_set(
        actor=cast.oskar, organization=cast.acme, plan=None, mode=Mode.PREPAID, credit_limit=None
    )
    if amount:
        prepaid_top_up(
            actor=cast.oskar, organization=cast.acme, amount=Decimal(amount), reference="bank 1"
        )
    if promo:
        promo_grant(
            actor=cast.oskar, organization=cast.acme, amount=Decimal(promo), reason="pilot",
            expires_at=timezone.now() + timedelta(days=9),
        )  # fmt: skip


def spend(cast: Cast, amount: str, model: str = "gpt-oss-120b") -> None:
    """In the books as in the rollups."""
    now = timezone.now()
    used(cast.key.api_key, now, amount=amount, model=model)
    usage_post(uuid4(), {cast.acme.pk: {Component.OUTPUT: Decimal(amount)}}, now)


def test_a_prepaid_organization_sees_what_is_left_and_what_expires(
    olivia: Client, cast: Cast
) -> None:
    prepaid(cast, "100", promo="5")
    spend(cast, "12.50")

    said = words_of(olivia.get(URL))

    assert "Balance €92.50" in said
    assert "so far €12.50" in said
    assert "No free credit now." in said, "the promotion was drawn from first"


def test_credit_is_listed_with_what_is_left_of_it(olivia: Client, cast: Cast) -> None:
    prepaid(cast, promo="5")
    spend(cast, "1.25")

    assert "€5.00 €3.75" in words_of(olivia.get(URL))


def test_a_postpaid_organization_sees_what_it_owes(olivia: Client, cast: Cast) -> None:
    terms_set(
        actor=cast.oskar, organization=cast.acme, plan=None, mode=Mode.POSTPAID,
        credit_limit=Decimal(500),
    )  # fmt: skip
    spend(cast, "40")

    said = words_of(olivia.get(URL))

    assert "To be paid €40.00" in said
    assert "Requests stop at the credit limit of €500.00." in said


def test_with_nothing_left_the_page_says_that_requests_are_refused(
    olivia: Client, cast: Cast
) -> None:
    prepaid(cast)

    said = words_of(olivia.get(URL))

    assert "The balance is used up: requests get 429 insufficient_quota." in said


def test_the_cap_is_the_budget_of_the_whole_organization(olivia: Client, cast: Cast) -> None:
    budget_set(actor=None, organization=cast.acme, amount=Decimal(3), project=cast.project)
    assert "No budget holds for the whole organization." in words_of(olivia.get(URL))
    budget_set(actor=None, organization=cast.acme, amount=Decimal(200))
    spend(cast, "50")

    said = words_of(olivia.get(URL))

    assert "25.0 % of €200.00" in said
    assert "Cap €200.00" in said


def test_a_developer_sees_the_balance_and_no_statement(client: Client, cast: Cast) -> None:
    prepaid(cast, "100")
    client.force_login(cast.max)

    page = client.get(URL)

    assert "€100.00" in page.text
    assert "/billing/statement/" not in page.text


def test_the_home_asks_as_little_for_much_as_for_nothing(
    olivia: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    prepaid(cast, "100")
    for at in range(5):
        promo_grant(
            actor=None, organization=cast.acme, amount=Decimal(1), reason="", reference=f"lot {at}",
            expires_at=None,
        )  # fmt: skip

    with django_assert_max_num_queries(17):
        olivia.get(URL)


def statement(client: Client, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(f"{URL}statement.csv{query}").text)))


def test_a_statement_leads_from_one_balance_to_the_next(olivia: Client, cast: Cast) -> None:
    prepaid(cast, "100", promo="5")
    spend(cast, "12.50")
    spend(cast, "0.000000000001", "llama")

    page = words_of(olivia.get(f"{URL}statement/"))
    lines = statement(olivia)

    assert "Payment in advance" in page
    assert "Balance after €92.50" in page
    assert "Usage" in page
    sums = [Decimal(line["amount_eur"]) for line in lines]
    assert (lines[0]["for"], lines[-1]["for"]) == ("opening", "closing")
    assert sums[0] == 0
    assert sums[-1] == sum(sums[:-1]) == Decimal("92.499999999999")
    assert [line["for"] for line in lines].count("usage") == 1, "a line a day"


def test_what_was_paid_too_much_is_on_the_statement_until_it_goes_back(
    olivia: Client, cast: Cast
) -> None:
    invoice = draft_make(cast.acme, "40")
    invoice_finalise(actor=None, invoice=invoice)
    payment = invoice_settle(
        invoice, actor=None, amount=Decimal(60), provider=Provider.MANUAL, reference="BG 1",
        now=timezone.now(),
    )  # fmt: skip
    lines = statement(olivia)
    assert Decimal(lines[-1]["amount_eur"]) == 10, "of 60 the invoice took 50"
    assert invoice.number in words_of(olivia.get(f"{URL}statement/"))
    excess_return(actor=cast.oskar, payment=payment, way=Way.BANK, reference="BG 2")
    assert "Refund" in words_of(olivia.get(f"{URL}statement/"))
    assert Decimal(statement(olivia)[-1]["amount_eur"]) == 0


def test_a_month_without_entries_has_one_balance(olivia: Client, cast: Cast) -> None:
    prepaid(cast, "100")
    last = (timezone.now().astimezone(UTC).replace(day=1) - timedelta(days=1)).strftime("%Y-%m")

    page = words_of(olivia.get(f"{URL}statement/?month={last}"))

    assert "Nothing changed the balance in this month." in page
    assert "Balance after €0.00" in page


def test_the_statement_has_nothing_of_another_organization(olivia: Client, cast: Cast) -> None:
    prepaid_top_up(actor=None, organization=cast.rival, amount=Decimal(77), reference="theirs")

    assert "77.00" not in olivia.get(f"{URL}statement/").text
    assert len(statement(olivia)) == 2


@pytest.mark.parametrize(
    ("stage", "said"),
    [(7, "after 30 requests are refused"), (14, "No keys can be made"), (30, "is suspended")],
)
def test_who_is_late_reads_what_follows(olivia: Client, cast: Cast, stage: int, said: str) -> None:
    now = timezone.now()
    Dunning.objects.create(
        organization=cast.acme, stage=stage, late_since=now - timedelta(days=stage), stepped_at=now
    )

    page = words_of(olivia.get(URL))

    assert "An invoice is past due since" in page
    assert said in page
