"""What must hold of the books, invoices, wallets and the provider, compared with the oracle."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from django.db.models import F, QuerySet, Sum
from django.utils import timezone

from billing.balances import balances_read
from billing.budgets import Span
from billing.holds import scopes_state
from billing.ingest.dead import dead_read
from billing.invoices import usage_bundle, usage_csv
from billing.invoices.requests import RatedOtherwise
from billing.invoices.verify_invoice import verify
from billing.ledger import batches_check, books_check, invoices_check
from billing.models import (
    AccountKind,
    Balance,
    CreditNote,
    Drift,
    Invoice,
    InvoiceKind,
    InvoiceState,
    LineKind,
    Transfer,
    UsageDay,
    UsageEvent,
    UsageHour,
)
from billing.statements import OWN, statement_read
from console.fakestripe import FakeStripe
from tests.stripe_simulation.checks import wrongs
from tests.year.days import midnight
from tests.year.oracle import Bill, Oracle
from tests.year.stage import Stage

CENT: Final = Decimal("0.01")
HOME: Final = Decimal(25)
"""Percent of VAT where the seller is."""
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
USED: Final = (LineKind.USAGE, LineKind.LATE)


class Checks:
    def __init__(self, oracle: Oracle, stage: Stage, fake: FakeStripe) -> None:
        self._oracle, self._stage, self._fake = oracle, stage, fake
        self._verified = set[str]()
        self._closings: dict[int, tuple[date, Decimal]] = {}

    @property
    def verified(self) -> int:
        """So many invoices were recomputed by the program that customers get."""
        return len(self._verified)

    def forget(self) -> None:
        """Verify all of them again."""
        self._verified.clear()

    def found(self, until: date, *, is_last: bool) -> list[str]:
        """What does not hold while all is at rest; months before `until` are invoiced.

        Old invoices are verified once more when it `is_last`.
        """
        if is_last:
            self.forget()
        return [
            *self.books(), *self.usage(), *self.invoices(until), *self.proofs(), *self.numbers(),
            *self._statements(until), *self._wallets(), *self._provider(), *self._stage.errors(),
        ]  # fmt: skip

    def books(self) -> Iterator[str]:
        """The trial balance is zero, all adds up anew, and we earned what was used."""
        for currency, total in imbalance().items():
            if total:
                yield f"the books in {currency} are off by {total}"
        for one in [*books_check(), *batches_check(LONG_AGO), *invoices_check()]:
            yield f"the books differ: {one}"
        rows = Transfer.objects.filter(credit__kind=AccountKind.REVENUE)
        of_whom = rows.values_list("credit__currency", "credit__part")
        earned = {(one, part): amount for one, part, amount in of_whom.annotate(Sum("amount"))}
        if earned != self._oracle.earned:
            yield f"earned is {earned}, used was {dict(self._oracle.earned)}"

    def usage(self) -> Iterator[str]:
        """Each request is there once, and sums by hour and day are of all of them."""
        count = UsageEvent.objects.count()
        if count != self._oracle.events:
            yield f"{count} events of {self._oracle.events} requests"
        sums = {
            str(model._default_manager.aggregate(a=Sum("amount"))["a"] or 0)
            for model in (UsageEvent, UsageHour, UsageDay)
        }
        if len(sums) > 1:
            yield f"events, hours and days are {sums}"
        for drift in Drift.objects.all():
            yield f"drift: {drift.kind} {drift.about} {drift.expected} {drift.found}"
        if dead := dead_read():
            yield f"{len(dead)} records are set aside"

    def invoices(self, until: date) -> Iterator[str]:
        """One for each month and organization that used something, of exactly that."""
        wanted = self._oracle.invoiced(until)
        for who, member in enumerate(self._stage.company.members):
            mine = Invoice.objects.filter(organization=member.organization, kind=InvoiceKind.USAGE)
            for invoice in mine.exclude(state=InvoiceState.VOID):
                key = (who, invoice.period_start)
                if key not in wanted:
                    yield f"{invoice} of {member.organization} is of no usage"
                wanted.discard(key)
                for wrong in self._invoice(who, invoice):
                    yield f"{invoice} of {member.organization}: {wrong}"
        for who, month in sorted(wanted):
            yield f"no invoice of {month:%Y-%m} for {self._stage.company.members[who].organization}"

    def _invoice(self, who: int, invoice: Invoice) -> Iterator[str]:
        bill = self._oracle.bills[who, invoice.period_start]
        if not invoice.number:
            yield f"it is {invoice.state} {invoice.halted_because}"
            return
        lines = list(invoice.lines.all())
        used = [line for line in lines if line.kind in USED]
        cost = sum((line.exact for line in used), Decimal(0))
        units = Counter[tuple[date, str, str]]()
        for line in used:
            if line.month:
                units[line.month, line.model, line.component] += line.quantity
        found = Bill(cost, invoice.event_count, units)
        if found != bill:
            yield f"its lines are {found}, used was {bill}"
        yield from self._sums(who, invoice)
        if not {line.kind for line in lines} & {LineKind.PROMO, LineKind.PREPAID}:
            off = -sum((one.exact for one in lines if one.kind == LineKind.DISCOUNT), Decimal(0))
            if off != self._oracle.discount(who, cost):
                yield f"{off} is let off of {cost}"

    def _sums(self, who: int, invoice: Invoice) -> Iterator[str]:
        rate = self._oracle.vat_rates[who, invoice.period_start]
        vat = (invoice.subtotal * rate / 100).quantize(CENT, ROUND_HALF_UP)
        amounts = invoice.lines.aggregate(a=Sum("amount"))["a"]
        if (amounts, vat) != (invoice.subtotal, invoice.vat_amount):
            yield f"lines {amounts} and VAT {vat} are not {invoice.subtotal}, {invoice.vat_amount}"
        if invoice.total != invoice.subtotal + vat:
            yield f"its total is {invoice.total}"
        if vat and invoice.currency == "EUR" and rate == HOME:
            sek = self._oracle.kronor.get(invoice.sek_rate_day or date.min, Decimal(0))
            if invoice.vat_sek != (vat * sek).quantize(CENT, ROUND_HALF_UP):
                yield f"its VAT in SEK is {invoice.vat_sek}"

    def proofs(self) -> Iterator[str]:
        """Each invoice with a number that was not yet is verified by what its customer gets."""
        for invoice in numbered().exclude(number__in=self._verified):
            try:
                rows = [line.encode() for line in usage_csv(invoice)]
                wrong = verify(json.loads(json.dumps(usage_bundle(invoice))), rows).wrong
            except RatedOtherwise as error:
                wrong = [str(error)]
            if wrong:
                yield f"{invoice} is not verified: {wrong[0]}"
            else:
                self._verified.add(invoice.number)

    def numbers(self) -> Iterator[str]:
        """Every series begins at 1 in each year, without a gap."""
        found = defaultdict[str, list[int]](list)
        for rows in (numbered(), CreditNote.objects.all()):
            for number in rows.values_list("number", flat=True):
                series, _dash, place = number.partition("-")
                found[series].append(int(place))
        for series, places in found.items():
            if sorted(places) != list(range(1, len(places) + 1)):
                yield f"numbers of {series} have gaps: {sorted(places)}"

    def _statements(self, until: date) -> Iterator[str]:
        """From one month to the next nothing is lost, and the last one ends with what is there."""
        for who, member in enumerate(self._stage.company.members):
            since, opening = self._closings.get(who, (date(2000, 1, 1), Decimal(0)))
            span = Span(midnight(since), midnight(until))
            statement = statement_read(member.organization, span)
            if statement.opening != opening:
                yield f"the statement of {member.organization} opens with {statement.opening}"
            used = -sum((one.amount for one in statement.lines if one.code == "usage"), Decimal(0))
            wanted = sum(
                (amount for (one, month), amount in self._oracle.posted.items()
                 if one == who and since <= month < until),
                Decimal(0),
            )  # fmt: skip
            if used != wanted:
                yield f"the statement of {member.organization} has {used} used, it was {wanted}"
            self._closings[who] = until, statement.closing
            now = statement_read(member.organization, Span(midnight(until), timezone.now()))
            rows = Balance.objects.filter(
                account__organization=member.organization, account__kind__in=OWN
            )
            kept = rows.aggregate(a=Sum(F("credits_posted") - F("debits_posted")))["a"] or 0
            if (now.opening, now.closing) != (statement.closing, kept):
                yield f"the statement of {member.organization} ends with {now.closing}, not {kept}"

    def _wallets(self) -> Iterator[str]:
        """The counters of requests are what the books leave, and nothing waits or is held."""
        ids = [member.organization.pk for member in self._stage.company.members]
        for pk, (_version, balances) in balances_read(ids).items():
            states = scopes_state(pk)
            if balances != {scope: state.balance for scope, state in states.items()}:
                yield f"the counters of {pk} are {states}, its books leave {balances}"
            if any(state.held or state.unposted for state in states.values()):
                yield f"the counters of {pk} wait: {states}"

    def _provider(self) -> Iterator[str]:
        yield from wrongs(self._fake)
        for one in self._stage.do("reconcile", is_long=True):
            yield f"differs from the provider: {one}"


def imbalance() -> dict[str, Decimal]:
    """By currency, what debits are more than credits, posted and pending."""
    off = F("debits_posted") - F("credits_posted") + F("debits_pending") - F("credits_pending")
    return dict(Balance.objects.values_list("account__currency").annotate(off=Sum(off)))


def numbered() -> QuerySet[Invoice]:
    return Invoice.objects.exclude(number="").order_by("number")
