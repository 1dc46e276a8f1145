"""The books as an operator reads them: sums of accounts, transfers, and what those are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum
from django.utils.translation import gettext_lazy

from billing.models import Account, AccountKind, Balance, Transfer, TransferKind, UsageEvent
from console.currencies import in_order
from tenants.models import Organization

SIDES: Final = ("debits_posted", "credits_posted", "debits_pending", "credits_pending")
SOON: Final = timedelta(days=2)
"""An event is booked so long after it happened, but for the few that were long on their way."""
SOURCES: Final = (
    ("batch", gettext_lazy("Usage")),
    ("payment", gettext_lazy("Payments")),
    ("promo", gettext_lazy("Grants")),
    ("expiry", gettext_lazy("Expiry")),
    ("invoice", gettext_lazy("Invoices")),
    ("credit_note", gettext_lazy("Credit notes")),
    ("refund", gettext_lazy("Money paid back")),
    ("fee", gettext_lazy("Fees")),
    ("payout", gettext_lazy("Payouts")),
    ("write_off", gettext_lazy("Bad debt")),
    ("transfer", gettext_lazy("Money set apart")),
)
"""The types of what transfers are for."""
_ZERO: Final = Decimal(0)
_OWED: Final = F("balance__credits_posted") - F("balance__debits_posted")


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some accounts of one kind, or of all of a currency."""

    accounts: int
    debits: Decimal
    credits: Decimal
    debits_pending: Decimal = _ZERO
    credits_pending: Decimal = _ZERO

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.accounts + other.accounts,
            self.debits + other.debits,
            self.credits + other.credits,
            self.debits_pending + other.debits_pending,
            self.credits_pending + other.credits_pending,
        )

    @property
    def difference(self) -> Decimal:
        """Above 0 for more debits than credits; of all accounts it is 0."""
        return self.debits - self.credits

    @property
    def debit(self) -> Decimal | None:
        """The balance, where it is one of debits."""
        return self.difference if self.difference > 0 else None

    @property
    def credit(self) -> Decimal | None:
        return -self.difference if self.difference < 0 else None

    @property
    def pending(self) -> Decimal:
        return max(self.debits_pending, self.credits_pending)


@dataclass(frozen=True, slots=True)
class KindLine:
    kind: AccountKind
    sums: Sums


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Every kind of account in one currency, in the order of the kinds."""

    currency: str
    lines: Sequence[KindLine]

    @property
    def total(self) -> Sums:
        return sum((line.sums for line in self.lines), Sums(0, _ZERO, _ZERO))

    @property
    def debit(self) -> Decimal:
        return sum((line.sums.debit or _ZERO for line in self.lines), _ZERO)

    @property
    def credit(self) -> Decimal:
        return sum((line.sums.credit or _ZERO for line in self.lines), _ZERO)

    @property
    def is_even(self) -> bool:
        return not self.total.difference


def trial_balances() -> list[TrialBalance]:
    """One a currency, EUR first. One query."""
    rows = Balance.objects.values_list("account__currency", "account__kind")
    found: dict[str, dict[str, Sums]] = {}
    for currency, kind, *sums in rows.annotate(Count("pk"), *map(Sum, SIDES)).order_by():
        found.setdefault(currency, {})[kind] = Sums(*sums)
    return [
        TrialBalance(
            currency,
            [KindLine(kind, of[kind]) for kind in AccountKind if kind in of],
        )
        for currency, of in ((one, found[one]) for one in in_order(found))
    ]


def accounts_of(*, kind: str, currency: str, search: str) -> QuerySet[Account]:
    """Accounts with their balances, of organizations that are called like `search`."""
    found = Account.objects.select_related("organization", "balance").annotate(owed=_OWED)
    if kind:
        found = found.filter(kind=kind)
    if currency:
        found = found.filter(currency=currency)
    if search:
        named = Q(organization__name__icontains=search) | Q(organization__slug=search.lower())
        found = found.filter(named | Q(part__iexact=search))
    return found


@dataclass(frozen=True, slots=True)
class Balanced:
    """An account with what it holds: above 0 on the side that its kind grows by."""

    account: Account

    @property
    def sums(self) -> Sums:
        kept = self.account.balance
        return Sums(1, *(getattr(kept, side) for side in SIDES))

    @property
    def holds(self) -> Decimal:
        difference = self.sums.difference
        return difference if AccountKind(self.account.kind).is_debit else -difference


def transfers_of(
    *, account: Account | None, organization: Organization | None, source: str, search: str
) -> QuerySet[Transfer]:
    """Transfers with their accounts; `search` is the id of a source, a batch or a transfer."""
    found = Transfer.objects.select_related("debit__organization", "credit__organization")
    if account:
        found = found.filter(Q(debit=account) | Q(credit=account))
    if organization:
        own = Account.objects.for_organization(organization).values("pk")
        found = found.filter(Q(debit__in=own) | Q(credit__in=own))
    if source:
        found = found.filter(source_type=source)
    if search:
        found = found.filter(_named(search))
    return found


def _named(search: str) -> Q:
    """By an index each: that of sources begins with their type."""
    named = Q(source_type__in=[source for source, _label in SOURCES], source_id=search)
    try:
        one = UUID(search)
    except ValueError:
        return named
    return named | Q(pk=one) | Q(batch_id=one)


@dataclass(frozen=True, slots=True)
class Drill:
    """A transfer, and what it is of: the organization's part of its batch, and their sum."""

    transfer: Transfer

    @property
    def organization(self) -> Organization | None:
        return self.transfer.debit.organization or self.transfer.credit.organization

    @property
    def currency(self) -> str:
        return self.transfer.debit.currency

    @property
    def beside(self) -> list[Transfer]:
        """The other transfers of the same source: of a batch those of this organization."""
        one = self.transfer
        found = Transfer.objects.filter(source_type=one.source_type, source_id=one.source_id)
        if one.batch_id and self.organization:
            found = found.filter(batch_id=one.batch_id, debit__organization=self.organization)
        rows = found.exclude(pk=one.pk).select_related(
            "debit__organization", "credit__organization"
        )
        return list(rows.order_by("created_at", "pk")[:100])

    @property
    def resolution(self) -> Transfer | None:
        """What became of pending money."""
        if self.transfer.kind != TransferKind.PENDING:
            return None
        return Transfer.objects.filter(pending=self.transfer).first()

    @property
    def posted(self) -> Decimal:
        """What the batch cost this organization."""
        found = Transfer.objects.filter(
            batch_id=self.transfer.batch_id, debit__organization=self.organization
        )
        return found.aggregate(sum=Sum("amount"))["sum"] or _ZERO


@dataclass(frozen=True, slots=True)
class BatchEvents:
    """The requests of an organization in a batch, with their sum beside what was posted."""

    events: QuerySet[UsageEvent]
    count: int
    amount: Decimal
    posted: Decimal

    @property
    def is_even(self) -> bool:
        return self.amount == self.posted


def batch_events(drill: Drill) -> BatchEvents:
    """First those of the days before; where they are too little, those of all months."""
    organization, batch = drill.organization, drill.transfer.batch_id
    if organization is None or batch is None:
        raise LookupError("only usage has events")
    of_it = UsageEvent.objects.for_organization(organization).filter(batch_id=batch)
    posted = drill.posted
    soon = _summed(of_it.filter(occurred_at__range=_around(drill.transfer.created_at)), posted)
    return soon if soon.is_even else _summed(of_it, posted)


def _around(moment: datetime) -> tuple[datetime, datetime]:
    return moment - SOON, moment + timedelta(hours=1)


def _summed(events: QuerySet[UsageEvent], posted: Decimal) -> BatchEvents:
    sums: dict[str, Any] = events.order_by().aggregate(count=Count("*"), amount=Sum("amount"))
    return BatchEvents(events, sums["count"], sums["amount"] or _ZERO, posted)
