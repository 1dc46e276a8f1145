"""The books: even or not, and from a transfer to the requests behind it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone

from billing import tasks
from billing.ledger import prepaid_top_up, usage_post
from billing.ledger.check import books_verify
from billing.models import Account, AccountKind, Balance, Component, Transfer
from tests.conftest import Cast
from tests.console.event_rows import ended
from tests.console.operator.conftest import text_of
from tests.console.reasons import reason_given

URL = "/operator/books/"
BATCH = UUID("01900000-0000-7000-8000-00000000ba7c")


@pytest.fixture
def booked(cast: Cast) -> Transfer:
    """Acme paid 20 in advance, and used 1.25 of it in one batch."""
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(20), reference="BG 1")
    now = timezone.now()
    ended(cast.key.api_key, now, amount=Decimal("0.5"), batch_id=BATCH)
    ended(cast.key.api_key, now - timedelta(days=4), amount=Decimal("0.75"), batch_id=BATCH)
    usage_post(BATCH, {cast.acme.pk: {Component.OUTPUT: Decimal("1.25")}}, now)
    return Transfer.objects.get(batch_id=BATCH)


def test_books_without_an_entry_say_so(operator: Client) -> None:
    page = text_of(operator.get(URL))
    assert "Nothing is booked yet." in page
    assert "were not computed anew yet" in page


def test_the_trial_balance_is_even_and_was_computed_anew(
    operator: Client, booked: Transfer
) -> None:
    books_verify()
    answer = operator.get(URL)
    (balance,) = answer.context["balances"]
    sides = {line.kind: (line.sums.debit, line.sums.credit) for line in balance.lines}
    assert {kind: side for kind, side in sides.items() if any(side)} == {
        AccountKind.PREPAID: (None, Decimal("18.75")),
        AccountKind.REVENUE: (None, Decimal("1.25")),
        AccountKind.CLEARING: (Decimal(20), None),
    }
    assert balance.is_even
    assert balance.debit == balance.credit == 20
    page = text_of(answer)
    assert "Even" in page
    assert "0 differences" in page


def test_a_balance_that_is_wrong_is_told(
    operator: Client, booked: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "close_old_connections", lambda: None)
    Balance.objects.filter(account__kind=AccountKind.REVENUE).update(credits_posted=1)

    page = text_of(operator.post(f"{URL}check/", follow=True))

    assert "Not even" in page
    assert "1 difference" in page


def test_accounts_are_found_by_kind_and_organization(operator: Client, booked: Transfer) -> None:
    found = operator.get(f"{URL}accounts/?kind=prepaid&q=acm").context["rows"]
    assert [(row.account.kind, row.holds) for row in found] == [("prepaid", Decimal("18.75"))]
    everything = operator.get(f"{URL}accounts/").context["rows"]
    assert len(everything) == Account.objects.count()
    assert "No account is like this." in text_of(operator.get(f"{URL}accounts/?q=nobody"))


def test_transfers_go_on_after_the_last_and_are_found_by_what_they_are_of(
    operator: Client, booked: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.views.operator.paging.SIZE", 1)
    first = operator.get(f"{URL}transfers/").context["page"]
    rest = operator.get(f"{URL}transfers/?after={first.after}").context["page"]
    assert [one.code for one in (*first.rows, *rest.rows)] == ["usage", "top_up"]
    assert rest.after == ""

    def found(query: str) -> list[str]:
        return [one.code for one in operator.get(f"{URL}transfers/?{query}").context["page"].rows]

    assert found("q=BG 1") == ["top_up"]
    assert found(f"q={BATCH}") == ["usage"]
    assert found("organization=rival") == []
    assert found("organization=acme&source=batch") == ["usage"]
    clearing = Account.objects.get(kind=AccountKind.CLEARING)
    assert found(f"account={clearing.pk}") == ["top_up"]
    assert operator.get(f"{URL}transfers/?account=x").status_code == 404
    assert "No organization has this short name: it stands in the address of its pages." in text_of(
        operator.get(f"{URL}transfers/?organization=nobody")
    )


def test_a_transfer_leads_to_the_requests_that_it_is_the_sum_of(
    operator: Client, cast: Cast, booked: Transfer
) -> None:
    page = f"{URL}transfers/{booked.pk}/"
    assert "€1.25" in text_of(operator.get(page))
    assert operator.get(f"{page}requests/").status_code == 302

    reason_given(operator, cast.acme)
    answer = operator.get(f"{page}requests/")

    found = answer.context["found"]
    assert (found.count, found.amount, found.posted) == (2, Decimal("1.25"), Decimal("1.25"))
    assert "the same amount, to the last decimal" in text_of(answer)


def test_what_is_no_usage_has_no_requests(operator: Client, booked: Transfer) -> None:
    top_up = Transfer.objects.get(code="top_up")
    assert operator.get(f"{URL}transfers/{top_up.pk}/requests/").status_code == 404
