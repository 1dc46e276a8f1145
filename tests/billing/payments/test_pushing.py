"""Invoices at Stripe: sent as items, compared, and only then final; and what is late."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from billing import stripe_client
from billing.invoices import (
    credit_note_issue,
    invoice_draft,
    invoice_finalise,
    invoice_halt,
    invoice_release,
    invoice_void,
    invoice_write_off,
    periods_close,
)
from billing.ledger import BooksError, books_check, invoices_check
from billing.models import (
    CreditNote,
    DifferenceKind,
    Dunning,
    DunningStage,
    Invoice,
    InvoiceState,
    NoticeKind,
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PaymentNotice,
    Refund,
    RefundState,
)
from billing.payments import (
    corrections_push,
    dunning_step,
    invoices_push,
    is_restricted,
    outbox_send,
    payment_enter,
    payment_refund,
    pushing,
    stripe_reconcile,
)
from console.fakestripe import Fault
from tenants import services
from tenants.models import OrganizationState
from tests.billing.ledger.reading import balances
from tests.billing.payments.conftest import NOON, Stripe
from tests.billing.payments.drafts import draft_make
from tests.billing.payments.test_auto_top_ups import decline, paid_by
from tests.billing.payments.test_outbox import failing
from tests.conftest import Cast


def push(stripe: Stripe, invoice: Invoice) -> Invoice:
    invoices_push(stripe.now)
    stripe.deliver()
    invoice.refresh_from_db()
    return invoice


def test_an_invoice_waits_for_the_customer_that_another_has_asked_for(
    cast: Cast, stripe: Stripe
) -> None:
    """Whoever pushes it has looked at the clock before."""
    first, second = draft_make(cast.acme, "10.00"), draft_make(cast.acme, "20.00", month=1)
    Invoice.objects.filter(pk=second.pk).update(state=InvoiceState.FROZEN)
    invoices_push(stripe.now)
    Invoice.objects.filter(pk=second.pk).update(state=InvoiceState.DRAFT)
    invoices_push(stripe.now - timedelta(seconds=30))
    outbox_send(stripe.now)
    states = {one.state for one in Invoice.objects.filter(pk__in=[first.pk, second.pk])}
    assert states == {InvoiceState.FINALISED}


def test_an_invoice_that_is_sent_again_waits_for_a_customer_that_is_new(
    cast: Cast, stripe: Stripe
) -> None:
    invoice = draft_make(cast.acme, "10.00")
    invoices_push(stripe.now)
    OutboxItem.objects.filter(op=Op.CUSTOMER).update(state=OutboxState.FAILED, done_at=stripe.now)
    outbox_send(stripe.now)
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.HALTED
    Invoice.objects.filter(pk=invoice.pk).update(state=InvoiceState.DRAFT)
    stripe.pass_time(hours=1)
    assert push(stripe, invoice).state == InvoiceState.FINALISED


def test_an_invoice_is_sent_compared_and_then_final(cast: Cast, stripe: Stripe) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00", "2.40"))
    assert (invoice.state, bool(invoice.number)) == (InvoiceState.FINALISED, True)
    assert balances(cast.acme)["receivable"] == Decimal("-15.50")
    (theirs,) = stripe.fake.all("invoice")
    assert (theirs["status"], theirs["total"], theirs["id"]) == ("open", 1550, invoice.stripe_id)
    assert [one["amount"] for one in stripe.fake.all("invoiceitem")] == [1000, 240, 310]
    stripe.fake.pay(theirs["hosted_invoice_url"])
    stripe.deliver()
    invoice.refresh_from_db()
    assert (invoice.state, invoice.to_pay) == (InvoiceState.PAID, Decimal(0))
    assert balances(cast.acme).get("receivable", Decimal(0)) == 0
    assert not books_check()


def test_a_card_that_is_kept_pays_it_by_itself(cast: Cast, stripe: Stripe) -> None:
    paid_by(cast, stripe, "4242424242424242")
    invoice = push(stripe, draft_make(cast.acme, "8.00", "20.00"))
    stripe.pass_time(hours=2)
    stripe.deliver()
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID


def test_many_lines_are_one_item_a_model(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "MOST_ITEMS", 3)
    draft = draft_make(cast.acme, "1.00", "2.00", "3.00")
    draft.lines.filter(position=3).update(model="model-1")
    assert push(stripe, draft).state == InvoiceState.FINALISED
    assert [one["amount"] for one in stripe.fake.all("invoiceitem")] == [400, 200, 150]


def test_a_draft_that_differs_never_becomes_final(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody adds a line there, between the items and the comparison."""
    send = stripe_client.send

    def and_more(op: Op, payload: Mapping[str, Any], key: str) -> Any:
        if op == Op.ITEM:
            send(op, {**payload, "amount": 1, "description": "More"}, f"{key}:more")
        return send(op, payload, key)

    monkeypatch.setattr(stripe_client, "send", and_more)
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    assert (invoice.state, invoice.number) == (InvoiceState.HALTED, "")
    assert "The draft at Stripe" in invoice.halted_because
    assert {one["status"] for one in stripe.fake.all("invoice")} == {"draft"}
    assert OutboxItem.objects.get(op=Op.FINALIZE).state == OutboxState.FAILED


def test_without_stripe_nothing_is_sent(cast: Cast) -> None:
    draft_make(cast.acme, "10.00")
    assert invoices_push(NOON) == 0


def test_what_the_bank_brought_stripe_does_not_collect(cast: Cast, stripe: Stripe) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("12.50"), reference="B-1",
        invoice=invoice, now=stripe.now,
    )  # fmt: skip
    stripe.deliver()
    stripe.deliver()
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID
    assert stripe.fake.all("invoice")[0]["status"] == "paid"
    assert balances(cast.acme).get("receivable", Decimal(0)) == 0


def test_what_is_taken_off_an_open_invoice_stripe_does_not_collect(
    cast: Cast, stripe: Stripe
) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00", "2.00"))
    credit_note_issue(
        actor=cast.oskar, invoice=invoice, amount=Decimal(2), reason="Slow", now=stripe.now
    )
    assert corrections_push(stripe.now) == 1
    assert corrections_push(stripe.now) == 0
    stripe.deliver()
    (theirs,) = stripe.fake.all("invoice")
    assert theirs["amount_remaining"] == 1250
    stripe.fake.pay(theirs["hosted_invoice_url"])
    stripe.deliver()
    invoice.refresh_from_db()
    assert (invoice.state, invoice.paid) == (InvoiceState.PAID, Decimal("12.50"))
    assert CreditNote.objects.get().stripe_id
    assert not books_check()


def test_a_credit_note_of_what_was_paid_there_unheard_takes_from_the_payment(
    cast: Cast, stripe: Stripe
) -> None:
    """The card is charged, and the note is issued before the webhook of that comes."""
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    stripe.fake.pay(invoice.hosted_url)
    credit_note_issue(
        actor=cast.oskar, invoice=invoice, amount=Decimal(2), reason="Slow", now=stripe.now
    )
    corrections_push(stripe.now)
    outbox_send(stripe.now)
    assert OutboxItem.objects.get(op=Op.CREDIT_NOTE).state == OutboxState.DONE
    (theirs,) = stripe.fake.all("credit_note")
    assert (theirs["total"], theirs["out_of_band_amount"]) == (250, 250)
    for _twice in range(2):
        stripe.deliver()
    assert balances(cast.acme) == {"owed": Decimal("2.50")}
    assert Payment.objects.get().total == Decimal("12.50")
    assert books_check() == invoices_check() == []


@pytest.mark.parametrize("fault", [None, Fault.DROPPED, Fault.FAILED_BEFORE, Fault.ANSWER_LOST])
def test_a_credit_note_that_is_refused_since_it_was_just_paid_is_sent_as_one_of_that(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    """The customer pays between our look and our call; and what is sent then may be lost."""
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    credit_note_issue(
        actor=cast.oskar, invoice=invoice, amount=Decimal(2), reason="Slow", now=stripe.now
    )
    corrections_push(stripe.now)
    send, faults = stripe_client.send, failing(fault)

    def just_paid(op: Op, payload: Mapping[str, Any], key: str) -> Any:
        if stripe.fake.all("invoice")[0]["status"] == "open":
            stripe.fake.pay(invoice.hosted_url)
        else:
            stripe.fake.faults = faults
        return send(op, payload, key)

    monkeypatch.setattr(stripe_client, "send", just_paid)
    for _try in range(4):
        outbox_send(stripe.now)
        stripe.pass_time(minutes=15)
    assert OutboxItem.objects.get(op=Op.CREDIT_NOTE).state == OutboxState.DONE
    assert [one["out_of_band_amount"] for one in stripe.fake.all("credit_note")] == [250]
    assert balances(cast.acme) == {"owed": Decimal("2.50")}


def test_what_was_paid_of_an_invoice_goes_back(cast: Cast, stripe: Stripe) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    stripe.fake.pay(invoice.hosted_url)
    stripe.deliver()
    payment = Payment.objects.get(invoice=invoice)
    payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(4), reason="Slow", now=stripe.now
    )
    stripe.deliver()
    assert Refund.objects.get().state == RefundState.DONE
    assert [one["amount"] for one in stripe.fake.all("refund")] == [500]
    assert corrections_push(stripe.now) == 0
    assert not books_check()


def test_a_draft_there_that_is_void_here_is_deleted_and_never_final(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "items_of", lambda _invoice: [])
    halted = push(stripe, draft_make(cast.acme, "40.00"))
    assert halted.state == InvoiceState.HALTED
    assert [one["status"] for one in stripe.fake.all("invoice")] == ["draft"]
    invoice_void(actor=cast.oskar, invoice=halted, reason="Wrong")
    assert [corrections_push(stripe.now) for _again in range(2)] == [1, 0]
    stripe.deliver()
    assert stripe.fake.all("invoice") == []
    done = OutboxItem.objects.get(op=Op.DELETE)
    assert done.state == OutboxState.DONE
    assert stripe_client.find(Op.DELETE, done.payload, str(done.pk), stripe.now), "it stays gone"


def test_what_is_void_here_is_void_there(cast: Cast, stripe: Stripe) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    invoice_void(actor=cast.oskar, invoice=invoice, reason="Wrong")
    corrections_push(stripe.now)
    stripe.deliver()
    assert stripe.fake.all("invoice")[0]["status"] == "void"


@pytest.mark.parametrize("fault", [None, Fault.ANSWER_LOST, Fault.FAILED_AFTER])
def test_what_is_written_off_here_is_so_there_and_may_still_be_paid(
    cast: Cast, stripe: Stripe, fault: Fault | None
) -> None:
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    invoice_write_off(actor=cast.oskar, invoice=invoice, reason="Bankrupt")
    assert [corrections_push(stripe.now) for _again in range(2)] == [1, 0]
    stripe.fake.faults = failing(fault)
    for _try in range(3):
        stripe.deliver()
        stripe.pass_time(minutes=15)
    assert [one["status"] for one in stripe.fake.all("invoice")] == ["uncollectible"]
    assert len(stripe.fake.events("invoice.marked_uncollectible")) == 1
    assert OutboxItem.objects.get(op=Op.WRITE_OFF).state == OutboxState.DONE
    assert stripe_reconcile(stripe.now) == [], "both say so"

    stripe.fake.pay(invoice.hosted_url)
    stripe.deliver()

    invoice.refresh_from_db()
    assert (invoice.state, invoice.to_pay) == (InvoiceState.PAID, Decimal(0))
    assert "bad_debt" not in balances(None)
    assert books_check() == invoices_check() == []
    assert stripe_reconcile(stripe.now) == []


def test_what_was_written_off_or_paid_there_before_needs_nobody(cast: Cast, stripe: Stripe) -> None:
    lost, paid = (push(stripe, draft_make(one, "10.00")) for one in (cast.acme, cast.rival))
    stripe.fake.client().v1.invoices.mark_uncollectible(lost.stripe_id)
    (told,) = stripe_reconcile(stripe.now)
    assert (told.kind, told.theirs) == (DifferenceKind.STALE, "uncollectible")
    stripe.fake.pay(paid.hosted_url)
    for invoice in (lost, paid):
        invoice_write_off(actor=cast.oskar, invoice=invoice, reason="Bankrupt")
    assert corrections_push(stripe.now) == 2
    for _twice in range(2):
        stripe.deliver()
    states = set(OutboxItem.objects.filter(op=Op.WRITE_OFF).values_list("state", flat=True))
    assert states == {OutboxState.DONE}
    assert stripe_reconcile(stripe.now) == []
    paid.refresh_from_db()
    assert (paid.state, balances(cast.rival)) == (InvoiceState.PAID, {})


def test_a_card_that_fails_makes_it_late_and_is_told(cast: Cast, stripe: Stripe) -> None:
    paid_by(cast, stripe, "4242424242424242")
    decline(stripe)
    invoice = push(stripe, draft_make(cast.acme, "30.00"))
    stripe.pass_time(hours=2)
    stripe.deliver()
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAST_DUE
    assert PaymentNotice.objects.filter(kind=NoticeKind.PAYMENT_FAILED).exists()


LADDER = [
    (-1, None), (0, DunningStage.TOLD), (3, DunningStage.REMINDED), (7, DunningStage.WARNED),
    (14, DunningStage.RESTRICTED), (30, DunningStage.SUSPENDED), (60, DunningStage.UNCOLLECTIBLE),
]  # fmt: skip


@pytest.fixture
def late(cast: Cast, settings: Any) -> Invoice:
    settings.INVOICE_DUE_DAYS = 0
    return invoice_finalise(actor=cast.oskar, invoice=draft_make(cast.acme, "10.00"), now=NOON)


def test_who_is_late_is_told_then_restricted_then_suspended(cast: Cast, late: Invoice) -> None:
    for days, stage in LADDER:
        for _twice in range(2):
            dunning_step(NOON + timedelta(days=days))
        row = Dunning.objects.filter(organization=cast.acme).first()
        assert (row and row.stage) == stage
        assert is_restricted(cast.acme) == (days >= DunningStage.RESTRICTED)
        cast.acme.refresh_from_db()
        assert cast.acme.is_active == (days < DunningStage.SUSPENDED)
    late.refresh_from_db()
    assert late.state == InvoiceState.PAST_DUE
    told = PaymentNotice.objects.filter(kind=NoticeKind.LATE).values_list("stage", flat=True)
    assert sorted(stage or 0 for stage in told) == [0, 3, 7, 14, 30, 60]


def test_paying_ends_all_of_it_at_once(cast: Cast, late: Invoice) -> None:
    dunning_step(NOON + timedelta(days=31))
    payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("12.50"), reference="B-1",
        invoice=late, now=NOON + timedelta(days=31),
    )  # fmt: skip
    cast.acme.refresh_from_db()
    assert cast.acme.is_active
    assert not is_restricted(cast.acme)
    assert PaymentNotice.objects.filter(kind=NoticeKind.SETTLED).count() == 1


def test_what_no_card_can_pay_is_final_at_once_and_makes_nobody_late(
    cast: Cast, stripe: Stripe
) -> None:
    trifle, least = draft_make(cast.acme, "0.39"), draft_make(cast.rival, "0.40")
    periods_close(stripe.now)
    push(stripe, trifle)
    push(stripe, least)
    assert (trifle.state, trifle.to_pay) == (InvoiceState.FINALISED, Decimal("0.49"))
    (theirs,) = stripe.fake.all("invoice")
    assert theirs["id"] == least.stripe_id
    stripe.fake.pay(least.hosted_url)
    stripe.deliver()
    dunning_step(NOON + timedelta(days=400))
    assert not Dunning.objects.exists()
    trifle.refresh_from_db()
    assert (trifle.state, trifle.stripe_id) == (InvoiceState.FINALISED, "")


def test_whom_an_operator_has_suspended_stays_so(cast: Cast, late: Invoice) -> None:
    services.organization_suspend(actor=cast.oskar, organization=cast.acme, reason="Abuse")
    dunning_step(NOON + timedelta(days=31))
    payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("12.50"), reference="B-1",
        invoice=late, now=NOON + timedelta(days=31),
    )  # fmt: skip
    cast.acme.refresh_from_db()
    assert cast.acme.state == OrganizationState.SUSPENDED


def test_more_than_is_open_is_not_taken_for_it(cast: Cast, late: Invoice) -> None:
    with pytest.raises(ValidationError, match="only"):
        payment_enter(
            actor=cast.oskar, organization=cast.acme, amount=Decimal("12.51"), reference="B-1",
            invoice=late, now=NOON,
        )  # fmt: skip


def test_one_on_its_way_to_stripe_is_not_made_void(cast: Cast, stripe: Stripe) -> None:
    """Stripe would make it final all the same, and charge the card."""
    invoice = draft_make(cast.acme, "10.00")
    invoices_push(stripe.now)
    with pytest.raises(ValidationError, match="on its way"):
        invoice_void(actor=cast.oskar, invoice=invoice, reason="Wrong")
    assert push(stripe, invoice).state == InvoiceState.FINALISED


def test_one_that_was_halted_meanwhile_is_final_only_once_it_is_released(
    cast: Cast, stripe: Stripe
) -> None:
    invoice = draft_make(cast.acme, "10.00")
    Invoice.objects.filter(pk=invoice.pk).update(root="00")
    invoices_push(stripe.now)
    invoice_halt(invoice=invoice, reason="Look at it")
    stripe.deliver()
    (theirs,) = stripe.fake.all("invoice")
    assert theirs["status"] == "draft"
    invoice_draft(invoice_release(actor=cast.oskar, invoice=invoice, reason="Fine"), stripe.now)
    assert push(stripe, invoice).state == InvoiceState.FINALISED
    assert [one["status"] for one in stripe.fake.all("invoice")] == ["open"]


def pay_twice(cast: Cast, stripe: Stripe) -> None:
    """12.50 by bank is entered, and the customer pays at Stripe before it hears of that."""
    invoice = push(stripe, draft_make(cast.acme, "10.00"))
    payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal("12.50"), reference="B-1",
        invoice=invoice, now=stripe.now,
    )  # fmt: skip
    stripe.fake.pay(invoice.hosted_url)
    for _twice in range(2):
        stripe.deliver()


def test_what_is_paid_by_bank_and_by_card_is_owed_back(cast: Cast, stripe: Stripe) -> None:
    pay_twice(cast, stripe)
    assert OutboxItem.objects.get(op=Op.PAY_ELSEWHERE).state == OutboxState.DONE
    assert balances(cast.acme) == {"owed": Decimal("12.50")}
    assert (balances(None)["bank"], balances(None)["clearing"]) == (
        Decimal("-12.50"), Decimal("-12.50"),
    )  # fmt: skip
    assert books_check() == invoices_check() == []


def test_what_the_books_refuse_holds_up_no_other_call(
    cast: Cast, stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = draft_make(cast.acme, "10.00")
    with monkeypatch.context() as broken:
        broken.setattr(pushing, "invoice_finalise", _refused)
        assert push(stripe, invoice).state == InvoiceState.PUSHED
    item = OutboxItem.objects.get(op=Op.FINALIZE)
    assert (item.state, item.error) == (OutboxState.DONE, "Not balanced.")
    assert stripe_reconcile(stripe.pass_time(hours=3)) == []
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.FINALISED


def _refused(**_given: object) -> None:
    raise BooksError("Not balanced.")
