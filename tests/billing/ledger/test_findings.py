"""What the nightly look finds: in each side of a balance and each kind of credit."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db.models import F
from django.utils import timezone
from time_machine import travel

from billing.ingest import ingest
from billing.ledger import (
    AccountKey,
    Source,
    batches_check,
    books_check,
    pending_make,
    pending_post,
    promo_expire,
    promo_grant,
)
from billing.ledger.accounts import lot_open
from billing.ledger.check import CHECKED_KEY, books_verify
from billing.metering import UsageRecord
from billing.models import Account, AccountKind, Balance, UsageEvent
from tenants.models import new_id
from tenants.valkey import client
from tests.billing.ledger.reading import NOON, balances, use
from tests.billing.records import put
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
SIDES = ("credits_pending", "credits_posted", "debits_pending", "debits_posted")
EVER = datetime.fromisoformat("2020-01-01T00:00Z")


def test_each_side_of_a_balance_without_transfers_is_found(cast: Cast) -> None:
    account = lot_open(AccountKey(cast.acme.pk, AccountKind.UNBILLED), None)
    assert books_check() == []
    for number, side in enumerate(SIDES, 1):
        Balance.objects.filter(account=account).update(**{side: number})
    assert [(one.about, one.name, one.kept, one.added_up) for one in books_check()] == [
        (account, side, Decimal(number), Decimal(0)) for number, side in enumerate(SIDES, 1)
    ]


def test_what_is_drawn_and_set_apart_together_overdraws_each_kind_of_credit(cast: Cast) -> None:
    use(cast.acme, input="1")
    account = Account.objects.get(organization=cast.acme)
    Balance.objects.filter(account=account).update(
        debits_pending=2, credits_posted=F("debits_posted") / 2
    )
    for kind in AccountKind:
        Account.objects.filter(pk=account.pk).update(kind=kind)
        overdrawn = [one.kept for one in books_check() if one.name == "overdrawn"]
        is_credit = kind in {AccountKind.PREPAID, AccountKind.PROMO, AccountKind.OWED}
        assert overdrawn == ([Decimal("2.5")] if is_credit else []), kind


@pytest.fixture
def unposted(record: UsageRecord) -> UsageEvent:
    """An event of a batch that nobody posted."""
    put(record)
    ingest()
    event = UsageEvent.objects.get()
    facts = {
        field.attname: getattr(event, field.attname) for field in UsageEvent._meta.concrete_fields
    }
    return UsageEvent(**facts | {"request_id": new_id(), "batch_id": new_id()})


def test_two_days_are_looked_through_each_night(unposted: UsageEvent) -> None:
    for hours, count in ((50, 0), (46, 1)):
        unposted.occurred_at = timezone.now() - timedelta(hours=hours)
        unposted.request_id = new_id()
        unposted.save(force_insert=True)
        books_verify()
        seen = json.loads(str(client().get(CHECKED_KEY), "ascii"))  # type: ignore[arg-type]
        assert seen["differences"] == count


def test_what_was_posted_for_another_organization_is_found(
    cast: Cast, unposted: UsageEvent
) -> None:
    batch = use(cast.acme, input=str(unposted.amount))
    unposted.batch_id, unposted.organization_id = batch, cast.rival.pk
    unposted.save(force_insert=True)
    assert {(one.about, one.kept, one.added_up) for one in batches_check(EVER)} == {
        (batch, unposted.amount, 0), (batch, 0, unposted.amount),
    }  # fmt: skip


def test_a_whole_euro_without_its_other_side_is_found(cast: Cast, unposted: UsageEvent) -> None:
    batch = use(cast.acme, input="1")
    unposted.amount = Decimal(1)
    unposted.save(force_insert=True)
    assert {(one.about, one.kept, one.added_up) for one in batches_check(EVER)} == {
        (batch, Decimal(1), Decimal(0)), (unposted.batch_id, Decimal(0), Decimal(1)),
    }  # fmt: skip


def test_what_is_set_apart_does_not_expire(cast: Cast) -> None:
    soon = timezone.now() + timedelta(days=1)
    promo_grant(
        actor=None, organization=cast.acme, amount=Decimal(5), expires_at=soon, reason="",
        reference="lot",
    )  # fmt: skip
    apart = pending_make(
        source=Source("lease", "1", "lease"),
        debit=AccountKey(cast.acme.pk, AccountKind.PROMO, "lot"),
        credit=AccountKey(None, AccountKind.CLEARING), amount=Decimal(2), timeout_at=NOON,
    )  # fmt: skip
    assert promo_expire(soon + timedelta(hours=1)) == 1
    assert balances(None)["breakage"] == 3
    pending_post(apart, Decimal(2))
    assert promo_expire(soon + timedelta(hours=1)) == 0
    assert balances(cast.acme) == {}


def test_a_grant_of_this_very_moment_has_expired(
    cast: Cast,
) -> None:
    with travel(NOON, tick=False), pytest.raises(ValidationError, match="later day"):
        promo_grant(
            actor=None, organization=cast.acme, amount=Decimal(5), expires_at=NOON, reason=""
        )
