"""Several at once: real transactions, in threads of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction

from billing.ledger import Entered, books_check, credit, prepaid_top_up, usage_post
from billing.ledger.transfers import Entry, transfers_write
from billing.models import Books, Component
from tenants.models import Organization, new_id
from tests.billing.invoices.test_races import apart, meeting
from tests.billing.ledger.reading import NOON, balances, is_balanced
from tests.conftest import make_cast

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 8
COST = {Component.OUTPUT: Decimal("0.3"), Component.INPUT: Decimal("0.1")}


def at_once(*acts: Callable[[], object]) -> None:
    """Each in a thread and a connection of its own; what one raises is raised here."""
    start = Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        try:
            start.wait(60)
            for _round in range(ROUNDS):
                act()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as threads:
        for done in [threads.submit(run, act) for act in acts]:
            done.result(120)


def post(*organizations: Organization) -> None:
    with transaction.atomic():
        usage_post(new_id(), {one.pk: COST for one in organizations}, NOON)


def test_batches_of_the_same_and_of_other_organizations_neither_block_nor_lose() -> None:
    cast = make_cast()
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(1), reference="1")
    at_once(
        lambda: post(cast.acme),
        lambda: post(cast.rival),
        lambda: post(cast.acme, cast.rival),
        lambda: post(cast.rival, cast.acme),
    )
    each = 3 * ROUNDS
    spent = each * Decimal("0.4")
    assert balances(cast.acme) == {"unbilled": 1 - spent}
    assert balances(cast.rival) == {"unbilled": -spent}
    assert balances(None)["revenue:input"] == 2 * each * Decimal("0.1")
    assert Books.objects.get(pk=cast.rival.pk).version == each
    assert is_balanced()
    assert books_check() == []


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_payment_that_is_entered_by_two_at_once_is_booked_once(
    is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock both find nothing and write it: only its key keeps the second out."""
    cast = make_cast()

    def pay(reference: str = "1") -> Entered:
        return prepaid_top_up(
            actor=None, organization=cast.acme, amount=Decimal(5), reference=reference
        )

    pay("its accounts are there")
    meet = meeting(surely=not is_locked)

    def meet_and_write(entries: Sequence[Entry]) -> None:
        meet()
        transfers_write(entries)

    monkeypatch.setattr(credit, "transfers_write", meet_and_write)
    if not is_locked:
        monkeypatch.setattr(credit, "books_advance", Books.objects.in_bulk)
    with ThreadPoolExecutor(2) as threads:
        errors = [act.exception(120) for act in [apart(threads, pay) for _each in range(2)]]
    assert any(isinstance(error, IntegrityError) for error in errors) is not is_locked
    assert balances(cast.acme) == {"prepaid": Decimal(10)}
    assert books_check() == []
