"""Money of Acme and Rival as the operator's pages show it, one of everything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from billing.ledger import usage_post
from billing.models import (
    Component,
    DifferenceKind,
    Dunning,
    DunningStage,
    EventState,
    Invoice,
    InvoiceKind,
    InvoiceState,
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PriceBook,
    Rate,
    Reconciliation,
    Refund,
    Transfer,
    VatTreatment,
    VolumeTier,
    WebhookEvent,
    WebhookRefusal,
)
from billing.payments import payment_enter, payment_refund
from billing.price_books import list_book, price_book_create
from tenants.models import Organization
from tests.conftest import Cast
from tests.console.event_rows import ended

BATCH = UUID("01900000-0000-7000-8000-00000000ba7d")


@dataclass(frozen=True, slots=True)
class MoneyRows:
    """`payment` came by bank and was partly paid back, and some of it was used: `usage`."""

    payment: Payment
    refund: Refund
    late: Invoice
    call: OutboxItem
    event: WebhookEvent
    book: PriceBook
    proposal: Rate
    usage: Transfer

    @property
    def invoice(self) -> Invoice:
        assert self.payment.invoice is not None
        return self.payment.invoice


def money_made(cast: Cast, model: str = "acme/tiny", late: Organization | None = None) -> MoneyRows:
    """Who is `late` is Rival, unless it is somebody else."""
    payment = payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(125), reference="BG 7"
    )
    refund = payment_refund(
        actor=cast.oskar, payment=payment, amount=Decimal(10), reason="Paid too much"
    )
    payment.refresh_from_db()
    book = price_book_create(
        actor=cast.oskar, slug="acme", name="Acme 2027", parent=list_book(), organization=cast.acme
    )
    VolumeTier.objects.create(book=book, from_amount=1000, percent=5)
    _differ()
    return MoneyRows(
        payment=payment,
        refund=refund,
        late=_late(late or cast.rival),
        call=_call(cast),
        event=_event(),
        book=book,
        proposal=_proposal(cast, book, model),
        usage=_usage(cast),
    )


def _usage(cast: Cast) -> Transfer:
    """A request of two euros, in a batch of its own."""
    now = timezone.now()
    ended(cast.key.api_key, now, model="acme/tiny", amount=Decimal(2), batch_id=BATCH)
    usage_post(BATCH, {cast.acme.pk: {Component.OUTPUT: Decimal(2)}}, now)
    return Transfer.objects.get(batch_id=BATCH)


def _late(organization: Organization) -> Invoice:
    now = timezone.now()
    since = now - timedelta(days=20)
    Dunning.objects.create(
        organization=organization, stage=DunningStage.RESTRICTED, late_since=since, stepped_at=now
    )
    return Invoice.objects.create(
        organization=organization, kind=InvoiceKind.USAGE, state=InvoiceState.PAST_DUE,
        number="S-2026-0007", period_start=since.date().replace(day=1),
        period_end=since.date(), currency="EUR", subtotal=Decimal(100), total=Decimal(100),
        vat_treatment=VatTreatment.REVERSE_CHARGE, finalised_at=now, due_at=since,
        buyer={"legal_name": "Rival GmbH", "country": "DE", "vat_id": "DE136695976"},
    )  # fmt: skip


def _call(cast: Cast) -> OutboxItem:
    return OutboxItem.objects.create(
        organization=cast.acme, op=Op.CUSTOMER, entity="customer", payload={"name": "Acme"},
        idem_key="v1:customer:acme:1", state=OutboxState.FAILED, attempts=1,
        error="No such country.",
    )  # fmt: skip


def _event() -> WebhookEvent:
    now = timezone.now()
    WebhookRefusal.objects.create(
        day=now.date(), reason="Its signature is wrong.", count=3, last_at=now
    )
    return WebhookEvent.objects.create(
        id="evt_1", type="payment_intent.succeeded", object_id="pi_1", body={"id": "evt_1"},
        happened_at=now, received_at=now, next_at=now, state=EventState.DONE, done_at=now,
    )  # fmt: skip


def _differ() -> None:
    now = timezone.now()
    Reconciliation.objects.create(
        kind=DifferenceKind.VALUE, subject="payment", entity="pi_2", ours="12.50", theirs="12.00",
        first_seen_at=now, last_seen_at=now,
    )  # fmt: skip


def _proposal(cast: Cast, book: PriceBook, model: str) -> Rate:
    """Waits for somebody else than Oskar."""
    start = timezone.now() + timedelta(days=7)
    return Rate.objects.create(
        book=book, model=model, component=Component.OUTPUT, price=Decimal("0.4"),
        unit_scale=Component.OUTPUT.unit_scale, valid=(start, None), created_by=cast.oskar,
    )  # fmt: skip
