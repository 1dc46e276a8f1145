from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import F
from django.utils import timezone
from structlog.testing import capture_logs

from billing.ingest import ingest
from billing.ledger import Difference, batches_check, books_check
from billing.ledger.check import CHECKED_KEY, books_verify
from billing.metering import UsageRecord
from billing.models import AccountKind, Balance, Outcome, UsageEvent
from tenants.models import new_id
from tenants.valkey import client
from tests.billing.ledger.reading import use
from tests.billing.records import another, put
from tests.conftest import Cast

EVER = datetime(2020, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def test_books_that_are_right_show_nothing(cast: Cast) -> None:
    assert books_check() == []
    use(cast.acme, input="1")
    assert books_check() == []


def test_a_balance_that_is_not_the_sum_of_its_transfers_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    cent = Decimal("0.000000000001")
    wrong = Balance.objects.get(account__kind=AccountKind.UNBILLED)
    Balance.objects.filter(pk=wrong.pk).update(debits_posted=F("debits_posted") + cent)
    assert books_check() == [Difference(wrong.pk, "debits_posted", 1 + cent, Decimal(1))]


def test_a_balance_that_is_gone_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    Balance.objects.filter(account__kind=AccountKind.UNBILLED).delete()
    (found,) = books_check()
    assert found[1:] == ("debits_posted", Decimal(0), Decimal(1))


def test_credit_below_zero_is_found(cast: Cast) -> None:
    use(cast.acme, input="1")
    cast.acme.accounts.update(kind=AccountKind.PREPAID)
    (found,) = books_check()
    assert found[1:] == ("overdrawn", Decimal(1), Decimal(0))


def test_each_batch_is_traced_to_its_events(record: UsageRecord) -> None:
    put(record, another(record, output_tokens=7))
    ingest()
    put(another(record, outcome=Outcome.UPSTREAM_ERROR), another(record))
    ingest()
    assert UsageEvent.objects.values("batch_id").distinct().count() == 2
    assert batches_check(EVER) == []


def test_what_was_posted_without_events_is_found(cast: Cast, record: UsageRecord) -> None:
    put(record)
    ingest()
    batch = use(cast.acme, input="0.5")
    assert batches_check(EVER) == [Difference(batch, "usage", Decimal("0.5"), Decimal(0))]
    assert batches_check(timezone.now() + timedelta(seconds=1)) == []


def test_an_event_that_was_not_posted_is_found(cast: Cast, record: UsageRecord) -> None:
    put(record)
    ingest()
    event = UsageEvent.objects.get()
    UsageEvent(**{
        field.attname: getattr(event, field.attname)
        for field in UsageEvent._meta.concrete_fields
    } | {"request_id": new_id(), "batch_id": new_id()}).save(force_insert=True)  # fmt: skip
    (found,) = batches_check(EVER)
    assert found[1:] == ("usage", Decimal(0), event.amount)


def test_the_nightly_look_is_on_record_and_tells_of_what_is_wrong(record: UsageRecord) -> None:
    put(record)
    ingest()
    with capture_logs() as said:
        books_verify()
    assert _seen()["differences"] == 0
    assert said == []
    Balance.objects.filter(account__kind=AccountKind.UNBILLED).update(debits_pending=1)
    with capture_logs() as said:
        books_verify()
    assert _seen()["differences"] == 1
    assert [(line["event"], line["log_level"]) for line in said] == [("books.wrong", "error")]


def _seen() -> dict[str, object]:
    seen: dict[str, object] = json.loads(str(client().get(CHECKED_KEY), "ascii"))  # type: ignore[arg-type]
    assert str(seen["at"]).endswith("+00:00")
    return seen
