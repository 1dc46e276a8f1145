"""What must hold once all of it lives again and every month is closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from billing.invoices import usage_bundle, usage_csv
from billing.invoices.verify_invoice import verify
from billing.ledger import batches_check, books_check, invoices_check
from billing.metering import STREAMS
from billing.models import (
    UNFINISHED,
    Invoice,
    InvoiceKind,
    InvoiceState,
    NumberSeries,
    OutboxItem,
    UsageEvent,
)
from billing.partitions import Month
from billing.payments import stripe_reconcile
from billing.payments.pushing import items_of
from billing.stripe_client import Thing, minor
from console.fakestripe import FakeStripe
from tenants.valkey import client
from tests.billing.ledger.reading import is_balanced
from tests.kills.closes.usage import PERCENT, Customer, Part, Used, cost_of
from tests.stripe_simulation.checks import wrongs

ENDED: Final = (InvoiceState.FINALISED, InvoiceState.PAID, InvoiceState.HALTED)
_NOTHING: Final = Used(0, Decimal(0))


class Oracle:
    """Of the organizations of one run."""

    def __init__(self, customers: Sequence[Customer]) -> None:
        self._customers = {one.organization.pk: one for one in customers}

    # What is left to do

    def owed(self) -> list[str]:
        """What is not booked, not invoiced, or not sent yet."""
        if waiting := [stream for stream in STREAMS if client().xlen(stream)]:
            return waiting
        if calls := OutboxItem.objects.filter(state__in=UNFINISHED):
            return [f"{one}: {one.error}" for one in calls]
        ended = {(one.organization_id, one.period_start) for one in self.invoices(state__in=ENDED)}
        return list(map(str, self._months().keys() - ended))

    def invoices(self, **which: object) -> list[Invoice]:
        mine = Invoice.objects.filter(organization__in=self._customers, kind=InvoiceKind.USAGE)
        return list(mine.filter(**which).exclude(state=InvoiceState.VOID))

    def _months(self) -> Mapping[tuple[UUID, date], list[UsageEvent]]:
        """The events of each invoice that must be there: of every month that has ended."""
        found = defaultdict[tuple[UUID, date], list[UsageEvent]](list)
        for event in UsageEvent.objects.filter(organization__in=self._customers):
            month = event.billed_in or event.occurred_at.date().replace(day=1)
            if month < timezone.now().date().replace(day=1):
                found[event.organization_id, month].append(event)
        return {key: events for key, events in found.items() if any(one.amount for one in events)}

    # What must hold

    def breaks(self, fake: FakeStripe) -> list[str]:
        sums = [*books_check(), *invoices_check(), *batches_check(timezone.now() - timedelta(30))]
        differences = stripe_reconcile(timezone.now(), is_long=True)
        found = [*self._events(), *self._invoices(fake), *_numbers(), *wrongs(fake)]
        found += [*map(str, sums), *map(str, differences)]
        return found if is_balanced() else [*found, "the trial balance is not zero"]

    def kept(self) -> dict[str, Any]:
        """What no later run may change."""
        return {
            one.number: (one.state, one.root, one.total, *one.lines.values_list("text", "amount"))
            for one in self.invoices()
        }

    def _events(self) -> Iterator[str]:
        for pk, customer in self._customers.items():
            ids = sorted(one.request_id for one in customer.records)
            events = UsageEvent.objects.filter(organization=pk)
            if sorted(events.values_list("request_id", flat=True)) != ids:
                yield f"{customer.kind.name}: {len(events)} events of {len(ids)} requests"

    def _invoices(self, fake: FakeStripe) -> Iterator[str]:
        months, made = self._months(), self.invoices()
        theirs, items = _by_invoice(fake, "invoice"), _by_invoice(fake, "invoiceitem")
        keys = sorted((one.organization_id, one.period_start) for one in made)
        if keys != sorted(months):
            yield f"{len(made)} invoices of {len(months)} months with usage"
        for one in made:
            customer = self._customers[one.organization_id]
            events = months.get((one.organization_id, one.period_start), [])
            there = _wrong_there(one, theirs[str(one.pk)], items[str(one.pk)])
            for why in (*_wrong(one, customer, events), *there):
                yield f"{customer.kind.name} {one} ({one.state}, {one.total}): {why}"


def _wrong(invoice: Invoice, customer: Customer, events: Sequence[UsageEvent]) -> Iterator[str]:
    kind = customer.kind
    if invoice.state not in {InvoiceState.FINALISED, InvoiceState.PAID} or not invoice.number:
        yield f"it is not final: {invoice.halted_because}"
    if invoice.event_count != len(events):
        yield f"it is of {invoice.event_count} requests, and there are {len(events)}"
    lines, used = _lines(invoice), _used(events, kind.currency)
    if lines != used:
        yield f"its lines are {lines}, and {used} was used"
    vat = invoice.currency, invoice.vat_treatment, invoice.vat_rate
    if vat != (kind.currency, kind.vat, PERCENT[kind.vat]):
        yield f"it is in {vat}"
    if customer.is_pushed != bool(invoice.total) and not any(one.billed_in for one in events):
        yield "what is to be paid is not what credit has left"
    yield from verify(usage_bundle(invoice), [line.encode() for line in usage_csv(invoice)]).wrong


def _lines(invoice: Invoice) -> dict[Part, Used]:
    found = defaultdict[Part, Used](lambda: _NOTHING)
    for line in invoice.lines.exclude(component=""):
        assert line.month
        part = line.month, line.model, line.component, line.unit_price
        found[part] = _sum(found[part], Used(line.quantity, line.exact))
    return dict(found)


def _used(events: Sequence[UsageEvent], currency: str) -> dict[Part, Used]:
    found = defaultdict[Part, Used](lambda: _NOTHING)
    for event in events:
        month = Month.of(event.occurred_at).start
        for component, price, used in cost_of(event, currency):
            part = month, event.model, component, price
            found[part] = _sum(found[part], used)
    return dict(found)


def _sum(one: Used, other: Used) -> Used:
    return Used(one.units + other.units, one.exact + other.exact)


def _by_invoice(fake: FakeStripe, kind: str) -> Mapping[str, list[Thing]]:
    """What Stripe has of it, by our invoice that it says it is of."""
    found = defaultdict[str, list[Thing]](list)
    for one in fake.all(kind):
        found[(one["metadata"] or {}).get("invoice", "")].append(one)
    return found


def _wrong_there(
    invoice: Invoice, theirs: Sequence[Thing], items: Sequence[Thing]
) -> Iterator[str]:
    """Stripe has it once, of the same items, if anything of it is to be paid; else not at all."""
    if len(theirs) != (1 if invoice.total else 0):
        yield f"Stripe has it {len(theirs)} times"
    for one in theirs:
        there = one["id"], one["status"], one["total"], one["currency"].upper()
        here = invoice.stripe_id, "open", minor(invoice.total), invoice.currency
        if there != here:
            yield f"at Stripe it is {there}, here {here}"
        ours = sorted(item.cents for item in items_of(invoice))
        if sorted(item["amount"] for item in items) != ours:
            yield f"at Stripe it has {len(items)} items, here {len(ours)}"


def _numbers() -> Iterator[str]:
    """Of each series every number from 1 to the last is there."""
    numbers = sorted(Invoice.objects.numbered().values_list("number", flat=True))
    given = [
        f"{one.series}{one.year}-{number:05}"
        for one in NumberSeries.objects.all()
        for number in range(1, one.last + 1)
    ]
    if numbers != sorted(given):
        yield f"{len(given)} numbers were given, and {len(numbers)} invoices have one"
