"""Credit that organizations get: payments in advance, and promotions that may expire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger.accounts import AccountKey, accounts_open, lot_open
from billing.ledger.books import books_advance, books_announce
from billing.ledger.transfers import Entry, Source, entry_of, transfers_write
from billing.models import Account, AccountKind, Transfer
from tenants import audit
from tenants.models import Organization, User, new_id

_ZERO: Final = Decimal(0)
MOST: Final = Decimal(9_000_000)
"""EUR or SEK. Counters in Valkey are exact up to here."""
LATE_USAGE: Final = timedelta(hours=1)
"""Usage of before the expiry may be posted this long after it, and is still drawn from the lot."""


class Entered(NamedTuple):
    """`is_new` is False when the same was entered before; then nothing has changed."""

    transfer: Transfer
    is_new: bool


@transaction.atomic
def prepaid_top_up(
    *, actor: User | None, organization: Organization, amount: Decimal, reference: str
) -> Entered:
    """Enter a payment of `amount`, net. One reference is one payment.

    Raises ValidationError for an amount that is not one, and for a reference that was used with
    another amount.
    """
    if not reference:
        raise ValidationError(_("Say which payment this is: the bank's or the card's reference."))
    return top_up_book(actor=actor, organization=organization, net=amount, source_id=reference)


@transaction.atomic
def top_up_book(
    *,
    actor: User | None,
    organization: Organization,
    net: Decimal,
    vat: Decimal = _ZERO,
    source_id: str,
    into: AccountKind = AccountKind.CLEARING,
) -> Entered:
    """A payment in advance came `into` clearing or the bank: `net` is credit, `vat` is the state's.

    Or it lay in what the organization is `owed`. The same `source_id` is booked once. Raises
    ValidationError for an amount that is not one, and for a source that was booked with another
    amount.
    """
    _check(net)
    currency = books_advance([organization.pk])[organization.pk].currency
    prepaid = AccountKey(organization.pk, AccountKind.PREPAID, currency=currency)
    due = AccountKey(None, AccountKind.VAT_PAYABLE, currency=currency)
    owner = organization.pk if into == AccountKind.OWED else None
    came = AccountKey(owner, into, currency=currency)
    accounts = accounts_open([prepaid, came, due])
    source = Source("payment", source_id, "top_up")
    entered = _enter(entry_of(source, accounts[came], accounts[prepaid], net))
    if vat:
        _enter(entry_of(source._replace(code="vat"), accounts[came], accounts[due], vat))
    if entered.is_new:
        facts = {"amount": str(net), "vat": str(vat), "reference": source_id}
        _tell(actor, "credit.top_up", organization, entered, facts)
    return entered


@transaction.atomic
def promo_grant(
    *,
    actor: User | None,
    organization: Organization,
    amount: Decimal,
    expires_at: datetime | None,
    reason: str,
    reference: str = "",
) -> Entered:
    """Give `amount` that may be used until `expires_at`, or for ever. It is a lot of its own.

    With a reference (of an organization, at most 50 letters) the same grant is made once. Raises
    ValidationError for an amount that is not one, and for an expiry that has passed.
    """
    _check(amount)
    if expires_at and expires_at <= timezone.now():
        raise ValidationError(_("It would have expired already: choose a later day."))
    currency = books_advance([organization.pk])[organization.pk].currency
    part = reference or new_id().hex
    lot = lot_open(AccountKey(organization.pk, AccountKind.PROMO, part, currency), expires_at)
    expense = AccountKey(None, AccountKind.PROMO_EXPENSE, currency=currency)
    account = accounts_open([expense])[expense]
    entered = _enter(entry_of(Source("promo", part, "grant"), account, lot, amount))
    if entered.is_new:
        until = expires_at.isoformat() if expires_at else None
        facts = {"amount": str(amount), "expires_at": until, "reason": reason}
        _tell(actor, "credit.grant", organization, entered, facts)
    return entered


@transaction.atomic
def promo_expire(now: datetime) -> int:
    """What is left in lots that expired goes to breakage; returns of how many lots."""
    over = Account.objects.filter(kind=AccountKind.PROMO, expires_at__lte=now - LATE_USAGE)
    spent = F("balance__debits_posted") + F("balance__debits_pending")
    filled = over.filter(balance__credits_posted__gt=spent)
    if not (owners := set(filled.values_list("organization", flat=True))):
        return 0
    books_advance(owners)
    source = Source("expiry", now.isoformat(), "expiry")
    lots = filled.filter(organization__in=owners).annotate(
        left=F("balance__credits_posted") - spent
    )
    to = accounts_open({_breakage(lot) for lot in lots})
    transfers_write([entry_of(source, lot.pk, to[_breakage(lot)], lot.left) for lot in lots])
    books_announce(owners)
    return len(lots)


def _breakage(lot: Account) -> AccountKey:
    return AccountKey(None, AccountKind.BREAKAGE, currency=lot.currency)


def _check(amount: Decimal) -> None:
    if not (amount.is_finite() and 0 < amount <= MOST):
        raise ValidationError(_("Enter an amount above 0 and of at most 9 million."))


def _enter(entry: Entry) -> Entered:
    """Write it, unless it was written before."""
    if found := Transfer.objects.filter(pk=entry.id).first():
        if found.amount != entry.amount:
            raise ValidationError(
                _("This reference was entered already, with another amount: look at it first.")
            )
        return Entered(found, is_new=False)
    transfers_write([entry])
    return Entered(Transfer.objects.get(pk=entry.id), is_new=True)


def _tell(
    actor: User | None,
    action: str,
    organization: Organization,
    entered: Entered,
    facts: Mapping[str, Any],
) -> None:
    audit.record(
        actor=actor, action=action, target=entered.transfer, organization=organization, **facts
    )
    books_announce([organization.pk])
