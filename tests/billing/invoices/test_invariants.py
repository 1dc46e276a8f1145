"""What holds whatever is used, in whatever order it comes: I-4, I-9, I-12 and I-18."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ingest import ingest
from billing.invoices import periods_close, usage_bundle, usage_csv
from billing.invoices.verify_invoice import verify
from billing.ledger import books_check, invoices_check, prepaid_top_up, promo_grant
from billing.metering import UsageRecord
from billing.models import Invoice, Outcome, UsageDay, UsageEvent
from tenants.models import new_id
from tests.billing.invoices.conftest import APRIL_1, CHANGING, MAY_1
from tests.billing.ledger.reading import balances, is_balanced, undone
from tests.billing.records import MODEL, put
from tests.conftest import Cast

pytestmark = pytest.mark.django_db

USES = st.fixed_dictionaries({
    "model": st.sampled_from([MODEL, CHANGING]),
    "day": st.integers(2, 58),
    "input_tokens": st.integers(0, 90_000),
    "output_tokens": st.integers(0, 90_000),
    "outcome": st.sampled_from([*[Outcome.COMPLETED] * 3, Outcome.UPSTREAM_ERROR]),
})  # fmt: skip
"""From the 2nd of March to the end of April."""


def records(record: UsageRecord, uses: list[dict[str, Any]]) -> list[UsageRecord]:
    made = []
    for use in uses:
        at = datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(days=use["day"])
        changes = {name: value for name, value in use.items() if name != "day"}
        made.append(msgspec.structs.replace(
            record, request_id=new_id(), admitted_at=at, occurred_at=at, cached_tokens=0, **changes
        ))  # fmt: skip
    return made


def fund(cast: Cast) -> None:
    promo_grant(
        actor=None, organization=cast.acme, amount=Decimal("0.02"), expires_at=None, reason="Hi",
        reference="one",
    )  # fmt: skip
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal("0.03"), reference="1")


def sums_hold(cast: Cast) -> None:
    """I-1 and I-4: events are rollups are postings are lines, and the books balance."""
    used = sum((one.amount for one in UsageEvent.objects.all()), Decimal(0))
    days = sum((one.amount for one in UsageDay.objects.all()), Decimal(0))
    invoices = list(Invoice.objects.all())
    lines = [line for one in invoices for line in one.lines.all()]
    ours = balances(None)
    earned = sum((ours[name] for name in ours if name.startswith("revenue")), Decimal(0))
    on_lines = sum((line.exact for line in lines if line.model), Decimal(0))
    assert used == days == earned == on_lines
    rounding = sum((line.amount - line.exact for line in lines), Decimal(0))
    assert ours.get("rounding", 0) == rounding
    assert is_balanced()
    assert books_check() == invoices_check() == []
    assert "unbilled" not in balances(cast.acme)


@settings(
    max_examples=3, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(USES, min_size=1, max_size=8), st.integers(0, 8), st.randoms())
def test_events_and_books_and_lines_are_one_sum_whatever_is_late(
    cast: Cast, record: UsageRecord, changing: None, uses: list[dict[str, Any]], late: int,
    random: Random,
) -> None:  # fmt: skip
    made = records(record, uses)
    random.shuffle(made)
    with undone():
        fund(cast)
        for some, now in ((made[late:], APRIL_1), (made[:late], MAY_1)):
            put(*some)
            while ingest():
                pass
            periods_close(now)
        sums_hold(cast)
        for invoice in Invoice.objects.all():
            usage = [line.encode() for line in usage_csv(invoice)]
            assert verify(usage_bundle(invoice), usage).wrong == []


@settings(
    max_examples=2, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(USES, min_size=3, max_size=6), st.randoms())
def test_the_same_usage_in_other_batches_and_order_makes_the_same_invoice(
    cast: Cast, record: UsageRecord, changing: None, uses: list[dict[str, Any]], random: Random
) -> None:
    """I-9 and I-18: to the hash, and each balance. Credit is left out: it pays what comes first."""
    made = records(record, uses)
    found = list[tuple[Any, ...]]()
    for batch in (100, 1):
        with undone():
            random.shuffle(made)
            put(*made)
            while ingest(batch):
                pass
            periods_close(MAY_1)
            invoices = [
                (one.period_start, one.root, one.total, *one.lines.values_list("text", "root"))
                for one in Invoice.objects.order_by("period_start")
            ]
            found.append((invoices, balances(cast.acme), balances(None)))
    assert found[0] == found[1]
