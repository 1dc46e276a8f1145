"""What must hold at the end, and what the end is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from billing.ledger import books_check
from billing.models import (
    EventState,
    Invoice,
    Op,
    OutboxItem,
    OutboxState,
    Payment,
    PaymentState,
    Refund,
    WebhookEvent,
)
from billing.stripe_client import minor
from console.fakestripe import FakeStripe
from tests.billing.ledger.reading import balances
from tests.stripe_simulation.world import World

MAKES: Final = {
    Op.CUSTOMER: "customer", Op.CHECKOUT: "checkout.session", Op.CHARGE: "payment_intent",
    Op.INVOICE: "invoice", Op.ITEM: "invoiceitem", Op.REFUND: "refund",
    Op.CREDIT_NOTE: "credit_note",
}  # fmt: skip


def wrongs(fake: FakeStripe) -> list[str]:
    """What does not hold now, in words."""
    return [*_outbox(fake), *_credit(fake), *_inbox(), *map(str, books_check())]


def _outbox(fake: FakeStripe) -> Iterator[str]:
    """Each row is done, and each that makes something has made one object, and nobody else has."""
    for row in OutboxItem.objects.exclude(state=OutboxState.DONE):
        yield f"{row} is {row.state}: {row.error}"
    for op, kind in MAKES.items():
        made = Counter(
            one["metadata"]["outbox_id"]
            for one in fake.all(kind)
            if "outbox_id" in (one["metadata"] or {})
        )
        rows = {str(pk) for pk in OutboxItem.objects.filter(op=op).values_list("pk", flat=True)}
        if made != Counter(rows):
            yield f"{op}: {sum(made.values())} objects of {len(rows)} rows"


def _credit(fake: FakeStripe) -> Iterator[str]:
    """Paid here if and only if paid there, of the same amount, once."""
    theirs = {
        one["id"]: one["amount_received"]
        for one in fake.all("payment_intent")
        if one["status"] == "succeeded"
    }
    paid = Payment.objects.exclude(paid_at=None).exclude(stripe_payment_intent="")
    ours = {one.stripe_payment_intent: minor(one.total) for one in paid}
    if ours != theirs:
        yield f"paid there: {theirs}, here: {ours}"


def _inbox() -> Iterator[str]:
    for event in WebhookEvent.objects.filter(state__in=[EventState.RECEIVED, EventState.REFUSED]):
        yield f"{event} is {event.state}: {event.note}"


def end_of(fake: FakeStripe, world: World) -> Mapping[str, Any]:
    """The end without ids and times. What was given up is no part of it: a page that nobody paid
    in time is opened again."""
    return {
        "payments": _sorted(
            Payment.objects.exclude(state=PaymentState.CANCELLED), "kind", "state", "total"
        ),
        "invoices": _sorted(Invoice.objects, "kind", "state", "total", "paid", "credited"),
        "refunds": _sorted(Refund.objects, "state", "net", "vat"),
        "books": balances(None),
        "payer": balances(world.payer.organization),
        "borrower": balances(world.borrower.organization),
        "intents": sorted(
            (one["status"], one["amount"])
            for one in fake.all("payment_intent")
            if one["status"] not in ("canceled", "requires_payment_method")
        ),
        "their invoices": sorted(
            (one["status"], one["total"], one["amount_paid"]) for one in fake.all("invoice")
        ),
        "their refunds": sorted((one["status"], one["amount"]) for one in fake.all("refund")),
        "their notes": sorted(
            (one["total"], one["out_of_band_amount"]) for one in fake.all("credit_note")
        ),
        "customers": len(fake.all("customer")),
    }


def _sorted(rows: Any, *fields: str) -> list[tuple[Any, ...]]:
    return sorted(rows.values_list(*fields))
