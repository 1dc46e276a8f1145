from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest
from django.db import IntegrityError, connection, transaction
from django.test import override_settings

from billing.ingest import ingest
from billing.metering import UsageRecord
from billing.models import UsageEvent, UsageEventId, UsageHour
from billing.partitions import AHEAD, Month, partitions_read, partitions_tend
from tenants.tenancy import OWNER, standing_as
from tests.billing.records import NOON, another, put

MARCH = Month.of(NOON)


def test_months_follow_each_other_over_the_new_year() -> None:
    december = Month.of(date(2026, 12, 31))
    assert Month(december + 1).start == date(2027, 1, 1)
    assert Month.named(december.partition) == december


def test_the_months_to_come_are_there(db: None) -> None:
    partitions_tend(NOON)
    assert {Month(MARCH + ahead) for ahead in range(AHEAD + 1)} <= partitions_read()


def test_an_event_of_a_month_without_a_partition_makes_one(record: UsageRecord) -> None:
    early = another(record, occurred_at=datetime(2031, 7, 31, 23, 59, 59, tzinfo=UTC))
    assert Month.of(early.occurred_at) not in partitions_read()
    put(early)
    ingest()
    assert Month.of(early.occurred_at) in partitions_read()
    assert UsageEvent.objects.get().occurred_at == early.occurred_at


def test_a_request_that_tells_another_month_later_is_booked_once(record: UsageRecord) -> None:
    put(record)
    ingest()
    put(msgspec.structs.replace(record, occurred_at=datetime(2026, 4, 1, tzinfo=UTC)))
    ingest()
    assert UsageEvent.objects.get().occurred_at == record.occurred_at
    assert UsageHour.objects.get().requests == 1


def test_old_months_go_and_their_sums_stay(record: UsageRecord) -> None:
    old = another(record, occurred_at=datetime(2025, 12, 31, tzinfo=UTC))
    put(old, record)
    ingest()
    with override_settings(USAGE_EVENT_MONTHS=2):
        partitions_tend(NOON)
    assert UsageEvent.objects.get().request_id == record.request_id
    assert UsageEventId.objects.get().request_id == record.request_id
    assert UsageHour.objects.count() == 2
    assert min(partitions_read()) >= MARCH - 2


@pytest.mark.parametrize("table", [MARCH.partition, "billing_usageevent"])
def test_a_partition_is_append_only_too(record: UsageRecord, table: str) -> None:
    put(record)
    ingest()
    with (
        standing_as(OWNER),
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of this module
