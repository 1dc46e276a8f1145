"""Ours against Stripe's, each hour: what one has and the other does not, or of another amount.

Each difference is a row until it is found no more. What only was not heard of is looked at again,
so it comes right by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from django.db import transaction

from billing import stripe_client
from billing.ledger import fee_book, payout_book
from billing.models import (
    DifferenceKind,
    Invoice,
    InvoiceState,
    Payment,
    PaymentKind,
    Provider,
    Reconciliation,
    Refund,
    RefundState,
    StripeCustomer,
    StripeSync,
    Transfer,
)
from billing.payments.errors import WRONG
from billing.payments.looks import look
from billing.payments.sync import stripe_silent
from billing.stripe_client import StripeError, StripeRefusedError, Thing, major, minor

SHORT: Final = timedelta(days=3)
LONG: Final = timedelta(days=35)
YOUNG: Final = timedelta(hours=2)
"""What is younger may still be on its way."""
_ENDED: Final = {
    InvoiceState.PAID: "paid", InvoiceState.VOID: "void",
    InvoiceState.UNCOLLECTIBLE: "uncollectible",
}  # fmt: skip

log = structlog.get_logger()


class Difference(NamedTuple):
    kind: DifferenceKind
    subject: str
    entity: str
    ours: str = ""
    theirs: str = ""


class Seen(NamedTuple):
    """The ids of what was compared, and in what it differs."""

    compared: set[str]
    differences: list[Difference]


def stripe_reconcile(now: datetime, *, is_long: bool = False) -> list[Difference]:
    """Compare the last days, or with `is_long` the last five weeks; keep and return differences."""
    if not stripe_client.is_on():
        return []
    since = now - (LONG if is_long else SHORT)
    try:
        seen = [_payments(since, now), _refunds(since, now), _invoices(since, now),
                _customers(since), _books(since)]  # fmt: skip
        _fees(since)
    except StripeError as error:
        stripe_silent(now)
        log.warning("stripe.not_reconciled", error=str(error))
        return []
    differences = [one for part in seen for one in part.differences]
    _keep(differences, now, set().union(*(part.compared for part in seen)), is_all=is_long)
    return differences


def _payments(since: datetime, now: datetime) -> Seen:
    """Each charge that succeeded for a payment of ours is booked, and each booked one succeeded."""
    theirs = {one["id"]: one for one in _listed("payment_intent", since) if _ours(one, "payment")}
    paid = {pk: one for pk, one in theirs.items() if one["status"] == "succeeded"}
    _catch_up("payment_intent", paid, _booked(paid), now)
    booked = _booked(paid)
    found = [
        Difference(_age(paid[pk], now), "payment", pk, theirs=_sum(paid[pk]))
        for pk in paid.keys() - booked.keys()
    ]
    found += [
        Difference(DifferenceKind.VALUE, "payment", pk, _said(row), _sum(paid[pk]))
        for pk, row in booked.items()
        if _said(row) != _sum(paid[pk])
    ]
    found += list(_not_there(since + YOUNG, paid))
    return Seen(set(theirs), found)


def _booked(paid: Iterable[str]) -> dict[str, Payment]:
    rows = Payment.objects.filter(
        provider=Provider.STRIPE, stripe_payment_intent__in=list(paid), paid_at__isnull=False
    )
    return {row.stripe_payment_intent: row for row in rows}


def _not_there(since: datetime, paid: dict[str, Thing]) -> Iterator[Difference]:
    """Booked as paid by card, and no charge of Stripe's: somebody else wrote that."""
    rows = Payment.objects.filter(
        provider=Provider.STRIPE, paid_at__gte=since, created_at__gte=since,
        kind__in=[PaymentKind.TOP_UP, PaymentKind.AUTO_TOP_UP],
    )  # fmt: skip
    for row in rows.exclude(stripe_payment_intent__in=list(paid)):
        entity = row.stripe_payment_intent or str(row.pk)
        yield Difference(DifferenceKind.EXTRA, "payment", entity, _said(row))


def _refunds(since: datetime, now: datetime) -> Seen:
    theirs = {one["id"]: one for one in _listed("refund", since) if one["status"] == "succeeded"}
    done = Refund.objects.filter(stripe_id__in=list(theirs), state=RefundState.DONE)
    known = set(done.values_list("stripe_id", flat=True))
    _catch_up("refund", {k: v for k, v in theirs.items() if _ours(v, "refund")}, known, now)
    known = set(done.values_list("stripe_id", flat=True))
    found = [
        Difference(
            _age(one, now) if _ours(one, "refund") else DifferenceKind.EXTRA,
            "refund", pk, theirs=_sum(one),
        )
        for pk, one in theirs.items() if pk not in known
    ]  # fmt: skip
    return Seen(set(theirs), found)


def _invoices(since: datetime, now: datetime) -> Seen:
    theirs = {one["id"]: one for one in _listed("invoice", since) if _ours(one, "invoice")}
    ours = Invoice.objects.filter(stripe_id__in=list(theirs))
    _catch_up("invoice", [row.stripe_id for row in ours if _is_stale(row, theirs[row.stripe_id])],
              (), now)  # fmt: skip
    known = {row.stripe_id: row for row in ours.all()}
    found = [
        Difference(_age(theirs[pk], now), "invoice", pk, theirs=_sum(theirs[pk]))
        for pk in theirs.keys() - known.keys()
    ]
    for pk, row in known.items():
        one = theirs[pk]
        if one["status"] != "draft" and minor(row.total) != one["total"]:
            found.append(Difference(DifferenceKind.VALUE, "invoice", pk, _said(row), _sum(one)))
        elif _is_stale(row, one):
            found.append(Difference(DifferenceKind.STALE, "invoice", pk, row.state, one["status"]))
    return Seen(set(theirs), found)


def _is_stale(row: Invoice, one: Thing) -> bool:
    """One side ended it, or made it final, and the other did not."""
    if one["status"] != "draft" and not row.number:
        return True
    return _ENDED.get(InvoiceState(row.state), "") != (
        one["status"] if one["status"] in _ENDED.values() else ""
    )


def _customers(since: datetime) -> Seen:
    theirs = {one["id"] for one in _listed("customer", since) if _ours(one, "organization")}
    rows = StripeCustomer.objects.filter(stripe_id__in=theirs)
    extra = theirs - set(rows.values_list("stripe_id", flat=True))
    found = [Difference(DifferenceKind.EXTRA, "customer", pk) for pk in sorted(extra)]
    return Seen(theirs, found)


def _books(since: datetime) -> Seen:
    """Credit if and only if a payment: each paid top-up has its transfer, of its amount."""
    rows = Payment.objects.filter(
        provider=Provider.STRIPE, paid_at__gte=since,
        kind__in=[PaymentKind.TOP_UP, PaymentKind.AUTO_TOP_UP],
    )  # fmt: skip
    nets = {row.stripe_payment_intent: row.net for row in rows}
    booked = dict(
        Transfer.objects.filter(
            source_type="payment", code="top_up", source_id__in=list(nets)
        ).values_list("source_id", "amount")
    )
    found = [
        Difference(
            DifferenceKind.VALUE if pk in booked else DifferenceKind.MISSING,
            "credit", pk, str(net), str(booked.get(pk, "")),
        )
        for pk, net in nets.items() if booked.get(pk) != net
    ]  # fmt: skip
    return Seen(set(nets), found)


def _fees(since: datetime) -> None:
    """What charges have cost, and what was paid out: each is booked once."""
    found = list(_listed("balance_transaction", since))
    ids = [one["id"] for one in found]
    moved = Transfer.objects.filter(source_type__in=["fee", "payout"], source_id__in=ids)
    booked = set(moved.values_list("source_type", "source_id"))
    for one in found:
        currency = one["currency"].upper()
        if one["fee"] > 0 and ("fee", one["id"]) not in booked:
            fee_book(currency=currency, amount=major(one["fee"]), source_id=one["id"])
        is_paid_out = one["type"] == "payout" and one["amount"] < 0
        if is_paid_out and ("payout", one["id"]) not in booked:
            payout_book(currency=currency, amount=major(-one["amount"]), source_id=one["id"])


def _catch_up(kind: str, things: Iterable[str], known: Iterable[str], now: datetime) -> None:
    """What happened there and was not heard of here."""
    for pk in sorted(set(things) - set(known)):
        try:
            look(kind, pk, now)
        except (*WRONG, StripeRefusedError) as error:
            log.error("stripe.mismatch", kind=kind, id=pk, error=str(error))


@transaction.atomic
def _keep(
    differences: Iterable[Difference], now: datetime, compared: set[str], *, is_all: bool
) -> None:
    """What is found no more is over: of all, or of what was `compared` and not older than that."""
    StripeSync.objects.get_or_create(pk=1)
    StripeSync.objects.select_for_update().get(pk=1)
    for one in differences:
        Reconciliation.objects.update_or_create(
            kind=one.kind, subject=one.subject, entity=one.entity, resolved_at=None,
            defaults={"ours": one.ours, "theirs": one.theirs, "last_seen_at": now},
            create_defaults={"ours": one.ours, "theirs": one.theirs, "last_seen_at": now,
                             "first_seen_at": now},
        )  # fmt: skip
    gone = Reconciliation.objects.filter(resolved_at=None, last_seen_at__lt=now)
    (gone if is_all else gone.filter(entity__in=compared)).update(resolved_at=now)
    StripeSync.objects.filter(pk=1).update(reconciled_at=now, compared=len(compared))
    if found := [one for one in differences if one.kind != DifferenceKind.LAG]:
        log.error("stripe.differs", differences=len(found))


def _listed(kind: str, since: datetime) -> Iterator[Thing]:
    return stripe_client.listed(kind, created={"gte": int(since.timestamp())})


def _ours(thing: Thing, name: str) -> bool:
    return bool((thing.get("metadata") or {}).get(name))


def _age(thing: Thing, now: datetime) -> DifferenceKind:
    young = now.timestamp() - thing["created"] < YOUNG.total_seconds()
    return DifferenceKind.LAG if young else DifferenceKind.MISSING


def _said(row: Payment | Invoice) -> str:
    return f"{row.total} {row.currency}"


def _sum(thing: Thing) -> str:
    cents = thing["amount"] if "amount" in thing else thing["total"]
    return f"{major(cents)} {thing['currency'].upper()}"
