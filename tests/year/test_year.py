"""A small year: nothing is broken, the log alone gives the same books, and the checks do bite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from billing.models import Invoice
from tenants.tenancy import OWNER, standing_as
from tests.year.checks import Checks
from tests.year.run import Year

DOUBLED = """
WITH one AS (
    SELECT * FROM billing_transfer WHERE code = 'usage' AND source_type = 'batch'
    ORDER BY id LIMIT 1
), twice AS (
    INSERT INTO billing_transfer (id, debit_id, credit_id, amount, kind, code, source_type,
        source_id, batch_id, created_at)
    SELECT gen_random_uuid(), debit_id, credit_id, amount, kind, code, source_type,
        'again', batch_id, created_at FROM one
)
UPDATE billing_balance SET
    debits_posted = debits_posted + CASE account_id WHEN one.debit_id THEN one.amount ELSE 0 END,
    credits_posted = credits_posted + CASE account_id WHEN one.credit_id THEN one.amount ELSE 0 END
FROM one WHERE account_id IN (one.debit_id, one.credit_id)
"""
"""In the transfers and in the balances alike."""
HALF = """
UPDATE billing_balance SET debits_posted = debits_posted + 1
WHERE account_id = (SELECT id FROM billing_account WHERE kind = 'clearing' LIMIT 1)
"""
LOST = """
DELETE FROM billing_usageevent WHERE (organization_id, request_id) =
    (SELECT organization_id, request_id FROM billing_usageevent WHERE amount > 0 LIMIT 1)
"""
RATE = "UPDATE billing_rate SET price = price + 0.000001 WHERE model = 'small'"
NUMBER = "UPDATE billing_invoice SET number = 'R2028-00999' WHERE number = 'R2028-00002'"
TOKENS = """
UPDATE billing_invoiceline SET quantity = quantity + 1 WHERE id =
    (SELECT id FROM billing_invoiceline WHERE kind = 'usage' LIMIT 1)
"""

type Look = Callable[[Checks], Iterator[str]]


@pytest.mark.django_db(transaction=True)
def test_a_year_adds_up_and_its_log_gives_the_same_books() -> None:
    report = Year(organizations=4, months=3, events=24, pace=31).run(_emptied)
    assert report.breaks == []
    assert report.replay == "identical"
    assert report.hashes[0] == report.hashes[1]
    counts = report.counts
    assert counts["verified"] == counts["invoices"] > 12
    assert counts["backfilled"]
    assert counts["credit_notes"]
    assert Invoice.objects.count() >= counts["invoices"], "the replay is what is there"
    assert report.story
    for statement, look, words in (
        (LOST, Checks.usage, "events of"),
        (LOST, Checks.books, "the books differ"),
        (DOUBLED, Checks.books, "earned is"),
        (HALF, Checks.books, "are off by"),
        (RATE, Checks.proofs, "is not verified"),
        (NUMBER, Checks.numbers, "have gaps"),
        (TOKENS, _invoices, "its lines are"),
        (TOKENS, Checks.proofs, "is not verified"),
    ):
        report.story.checks.forget()
        assert list(look(report.story.checks)) == []
        report.story.checks.forget()
        with _tampered(statement):
            assert words in " ".join(look(report.story.checks)), statement


def _invoices(checks: Checks) -> Iterator[str]:
    return checks.invoices(date(2028, 5, 1))


@contextmanager
def _tampered(statement: str) -> Iterator[None]:
    """By somebody whom no trigger stops; undone after it."""
    with transaction.atomic():
        with standing_as(OWNER), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement)
            assert cursor.rowcount
        yield
        transaction.set_rollback(True)


def _emptied() -> None:
    """As after the migrations."""
    with standing_as(OWNER):
        call_command("flush", verbosity=0, interactive=False)
