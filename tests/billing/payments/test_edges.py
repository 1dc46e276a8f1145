"""How long what failed waits, what stands for ids, and the last second of a signature."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid5

import pytest
from django.utils import timezone

from billing.models import EventState, Op, OutboxItem, OutboxState, StripeCustomer
from billing.payments import inbox_work, outbox_add, outbox_retry, top_up_begin, webhook_replay
from billing.payments.outbox import wait_of
from billing.payments.queue import CUSTOMER, key_of, made_by, resolved
from billing.stripe_client import StripeRefusedError
from console.fakestripe import Fault
from tenants.models import AuditEntry
from tests.billing.payments.conftest import NOON, Stripe
from tests.billing.payments.test_inbox import event_of, take
from tests.conftest import Cast

pytestmark = pytest.mark.django_db


def test_a_call_waits_twice_as_long_each_time_and_not_with_all_others() -> None:
    for attempts, longest_s in ((1, 4), (2, 8), (7, 256), (8, 512), (9, 600), (40, 600)):
        items = [OutboxItem(pk=uuid5(UUID(int=0), str(n)), attempts=attempts) for n in range(200)]
        parts = [wait_of(item) / timedelta(seconds=longest_s) for item in items]
        assert 0.5 <= min(parts) < 0.52
        assert 0.98 < max(parts) < 1
        assert parts == [wait_of(item) / timedelta(seconds=longest_s) for item in items]


def test_an_event_waits_twice_as_long_each_time_up_to_ten_minutes(
    cast: Cast, stripe: Stripe
) -> None:
    payment = top_up_begin(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(100), now=stripe.now
    )
    stripe.fake.pay(payment.checkout_url)
    event = take(event_of(stripe), stripe)
    stripe.fake.faults = lambda request, now: Fault.DROPPED
    waits = list[float]()
    for _try in range(11):
        assert inbox_work(stripe.now) == 1
        event.refresh_from_db()
        assert inbox_work(event.next_at - timedelta(microseconds=1)) == 0
        waits.append((event.next_at - stripe.now).total_seconds())
        stripe.now = event.next_at
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]
    assert (event.state, event.attempts, bool(event.note)) == (EventState.RECEIVED, 11, True)
    webhook_replay(actor=cast.oskar, event=event, now=NOON)
    event.refresh_from_db()
    assert event.next_at == NOON
    entry = AuditEntry.objects.get(action="stripe.replay")
    assert (entry.actor, entry.data["of"]) == (cast.oskar, event.object_id)


def test_a_signature_is_good_for_five_minutes_to_the_second(cast: Cast, stripe: Stripe) -> None:
    payment = top_up_begin(
        actor=cast.olivia, organization=cast.acme, amount=Decimal(100), now=stripe.now
    )
    stripe.fake.pay(payment.checkout_url)
    for late_s in (300, -300):
        assert take(event_of(stripe), stripe, late_s=late_s).state == EventState.RECEIVED


def test_what_stands_for_ids_is_filled_in_wherever_it_stands(cast: Cast) -> None:
    now = timezone.now()
    StripeCustomer.objects.create(organization=cast.rival, stripe_id="cus_of_rival")
    made = outbox_add(cast.acme, Op.INVOICE, "invoice:1", {}, now)
    payload = {"customer": CUSTOMER, "items": [{"of": made_by(Op.INVOICE, "invoice:1")}, 5],
               "metadata": {"a": "b"}}  # fmt: skip
    item = outbox_add(cast.acme, Op.ITEM, "item:1", payload, now)
    with pytest.raises(StripeRefusedError, match="not made: customer"):
        resolved(item)
    StripeCustomer.objects.create(organization=cast.acme, stripe_id="cus_1")
    OutboxItem.objects.filter(pk=made.pk).update(stripe_id="in_1")
    with pytest.raises(StripeRefusedError, match=r"not made: invoice\.create:invoice:1"):
        resolved(item)
    OutboxItem.objects.filter(pk=made.pk).update(state=OutboxState.DONE)
    assert resolved(item) == {
        "customer": "cus_1", "items": [{"of": "in_1"}, 5],
        "metadata": {"a": "b", "outbox_id": str(item.pk)},
    }  # fmt: skip
    finalize = outbox_add(cast.acme, Op.FINALIZE, "invoice:1", {"id": "in_1"}, now)
    assert resolved(finalize) == {"id": "in_1"}


def test_a_call_is_put_down_once_and_people_may_have_it_sent_again(cast: Cast) -> None:
    first, again = (outbox_add(cast.acme, Op.ITEM, "r:1", {"n": n}, NOON) for n in (1, 2))
    assert first.pk == again.pk
    assert (again.payload, again.next_at, again.idem_key) == (
        {"n": 1},
        NOON,
        "v1:invoiceitem.create:r:1:1",
    )
    OutboxItem.objects.filter(pk=first.pk).update(
        state=OutboxState.DEAD, first_sent_at=NOON, done_at=NOON, error="No"
    )
    later = NOON + timedelta(hours=1)
    outbox_retry(actor=cast.oskar, item=first, now=later)
    first.refresh_from_db()
    assert (first.state, first.version, first.next_at) == (OutboxState.PENDING, 2, later)
    assert (first.first_sent_at, first.done_at) == (None, None)
    assert first.idem_key == key_of(Op.ITEM, "r:1", 2)
    entry = AuditEntry.objects.for_organization(cast.acme).get(action="stripe.send_again")
    assert (entry.actor, entry.data["was"]) == (cast.oskar, "No")
