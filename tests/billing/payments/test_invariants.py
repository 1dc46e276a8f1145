"""Whatever goes wrong on the way, and in whatever order it is heard of: the same in the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import stripe_client
from billing.ledger import books_check
from billing.models import EventState, OutboxItem, OutboxState, Payment, Transfer, WebhookEvent
from billing.payments import inbox_work, outbox_send, webhook_take
from billing.payments.outbox import LONGEST_WAIT_S
from console.fakestripe import WEBHOOK_SECRET, Fault
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.test_outbox import failing
from tests.billing.payments.test_top_ups import begin, prepaid
from tests.conftest import Cast


def hear(stripe: Stripe, order: Sequence[int]) -> None:
    """Events come in this order, some often and some never."""
    events = stripe.fake.events()
    for index in order:
        body = json.dumps(events[index % len(events)])
        signature = stripe_client.signature_of(body, WEBHOOK_SECRET, stripe.now)
        webhook_take(body.encode(), signature, stripe.now)
        inbox_work(stripe.now)


def finish(stripe: Stripe) -> None:
    """Time passes until nothing waits any more."""
    for _try in range(8):
        stripe.pass_time(seconds=LONGEST_WAIT_S)
        outbox_send(stripe.now)
        inbox_work(stripe.now)


@settings(
    max_examples=5, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    faults=st.lists(st.sampled_from([None, *Fault]), max_size=5),
    order=st.lists(st.integers(0, 20), max_size=8),
    euros=st.integers(10, 5000),
    pays=st.booleans(),
)
def test_credit_is_there_once_if_and_only_if_it_was_paid(
    cast: Cast, stripe: Stripe, faults: list[Fault | None], order: list[int], euros: int,
    pays: bool,
) -> None:  # fmt: skip
    """I-14, and I-20: of the amount, in its currency, to who has paid it and nobody else."""
    with transaction.atomic():
        stripe.restart()
        stripe.fake.faults = failing(*faults)
        with suppress(ValidationError):
            begin(cast, stripe, str(euros))
        finish(stripe)
        payment = Payment.objects.get()
        if pays:
            stripe.fake.pay(payment.checkout_url)
        hear(stripe, order)
        hear(stripe, range(len(stripe.fake.events())))
        finish(stripe)
        kinds = ("customer", "checkout.session")
        made = {one["id"] for kind in kinds for one in stripe.fake.all(kind)}
        assert made == set(OutboxItem.objects.values_list("stripe_id", flat=True))
        assert set(OutboxItem.objects.values_list("state", flat=True)) == {OutboxState.DONE}
        assert not WebhookEvent.objects.filter(state=EventState.RECEIVED).exists()
        booked = Transfer.objects.filter(source_type="payment", code="top_up")
        booked_to = booked.values_list("amount", "credit__currency", "credit__organization")
        assert list(booked_to) == [(Decimal(euros), "EUR", cast.acme.pk)] * pays
        assert prepaid(cast.acme) == (euros if pays else 0)
        assert prepaid(cast.rival) == 0
        assert not books_check()
        transaction.set_rollback(True)
