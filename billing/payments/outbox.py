"""What Stripe is to do: rows that are sent in order, each until it is certain what became of it.

    pending ▸ sending (a lease) ▸ done
                ├ no answer, or an error there ▸ unknown ▸ looked for: found ▸ done
                │                                           else the same key, for 20 hours; then,
                │                                           or if the error is stored, a new one
                ├ not now ▸ pending, the same key later
                ├ the key is of another call ▸ dead
                ├ to be sent no more ▸ done, and nothing was sent
                └ anything else it refuses ▸ looked at once: so already ▸ done
                                               another call by now ▸ pending, with a new key
                                               else failed: only people try that again

Keys are forgotten after a day there, and what they answered first they answer always, errors too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from zlib import crc32

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing import stripe_client
from billing.models import UNFINISHED, Op, OutboxItem, OutboxState
from billing.payments.answers import amended, answered, refused, vet
from billing.payments.errors import NeedlessError
from billing.payments.queue import key_of, resolved
from billing.payments.sync import stripe_answered, stripe_silent
from billing.stripe_client import (
    StripeBusyError,
    StripeConfusedError,
    StripeError,
    StripeRefusedError,
    StripeUnknownError,
    Thing,
)
from tenants.models import Organization

LEASE: Final = timedelta(seconds=60)
KEY_LASTS: Final = timedelta(hours=20)
FIRST_WAIT_S: Final = 2
LONGEST_WAIT_S: Final = 600
_GOALS: Final = frozenset({
    Op.EXPIRE, Op.CANCEL, Op.VOID, Op.WRITE_OFF, Op.DELETE, Op.PAY_ELSEWHERE,
})  # fmt: skip
"""What these are to bring about may be so already, whoever did it."""

log = structlog.get_logger()


class Taken(NamedTuple):
    """A row that is ours for a while. With `is_doubtful` an earlier call may have arrived."""

    item: OutboxItem
    is_doubtful: bool


def outbox_send(now: datetime | None = None, organization: Organization | None = None) -> int:
    """Send what is due, all of it or one organization's, and how many calls that were.

    `now` is the clock of all of it; without one it is read before each call. When no answer comes,
    the rest waits for the next time, so that an outage does not keep a worker.
    """
    sent, is_heard = 0, stripe_client.is_on()
    while is_heard and (taken := _taken(now or timezone.now(), organization)):
        is_heard = _send(taken, now or timezone.now())
        sent += 1
    return sent


@transaction.atomic
def _taken(now: datetime, organization: Organization | None) -> Taken | None:
    """The first that is due and that nobody else has in hand; none while one before it waits."""
    mine = Q(organization=organization) if organization else Q()
    before = OutboxItem.objects.filter(
        Q(created_at__lt=OuterRef("created_at"))
        | Q(created_at=OuterRef("created_at"), pk__lt=OuterRef("pk")),
        organization=OuterRef("organization"),
        state__in=UNFINISHED,
    )
    due = OutboxItem.objects.filter(mine, ~Exists(before), state__in=UNFINISHED, next_at__lte=now)
    item = _unheld(due).order_by("next_at", "pk").first()
    return _leased(item, now) if item else None


def _unheld(items: QuerySet[OutboxItem]) -> QuerySet[OutboxItem]:
    return items.select_for_update(skip_locked=True, of=("self",))


def _leased(item: OutboxItem, now: datetime) -> Taken:
    """Whatever was sent before may have arrived, or arrive yet: also what was told to wait."""
    item.state, item.next_at = OutboxState.SENDING, now + LEASE
    item.attempts += 1
    item.save(update_fields=["state", "next_at", "attempts"])
    return Taken(item, item.first_sent_at is not None)


def _send(taken: Taken, now: datetime) -> bool:
    """Whether Stripe answered."""
    item = taken.item
    try:
        is_another = amended(item, now)
        payload = resolved(item)
        thing = _found(item, payload, now) if taken.is_doubtful else None
        if is_another and not thing:
            _renew(item)
        thing = thing or _made(item, payload, now)
    except NeedlessError as error:
        _note(item, state=OutboxState.DONE, error=str(error), done_at=now)
        return True
    except StripeError as error:
        _not_done(item, error, now)
        return not isinstance(error, StripeUnknownError)
    stripe_answered(now)
    _done(item, thing, now)
    return True


def _found(item: OutboxItem, payload: Mapping[str, Any], now: datetime) -> Thing | None:
    """What an earlier try did, if it did; else a key that is too old is replaced by a new one."""
    if item.first_sent_at is None:
        return None
    if thing := stripe_client.find(Op(item.op), payload, str(item.pk), item.created_at):
        return thing
    if now - item.first_sent_at >= KEY_LASTS:
        _renew(item)
    return None


def _made(item: OutboxItem, payload: Mapping[str, Any], now: datetime) -> Thing:
    """It is noted before it is sent: should this process end now, it may have been."""
    vet(item, payload)
    if not _note(item, first_sent_at=item.first_sent_at or now):
        raise StripeBusyError("It took longer than the lease, and another has it in hand.")
    return stripe_client.send(Op(item.op), payload, item.idem_key)


def _renew(item: OutboxItem) -> None:
    version = item.version + 1
    key = key_of(item.op, item.entity, version)
    _note(item, version=version, idem_key=key, first_sent_at=None, payload=item.payload)


def _not_done(item: OutboxItem, error: StripeError, now: datetime) -> None:
    log.warning("stripe.not_done", op=item.op, entity=item.entity, error=str(error))
    match error:
        case StripeUnknownError():
            stripe_silent(now)
            if error.is_stored:
                _replace_if_absent(item, error, now)
            else:
                _later(item, OutboxState.UNKNOWN, error, now)
        case StripeBusyError():
            _later(item, OutboxState.PENDING, error, now)
        case StripeConfusedError():
            _fail(item, OutboxState.DEAD, StripeRefusedError(str(error)), now)
        case StripeRefusedError():
            _look_again(item, error, now)


def _replace_if_absent(item: OutboxItem, error: StripeUnknownError, now: datetime) -> None:
    """The same key would bring the same error for ever. What it did all the same is found."""
    try:
        thing = stripe_client.find(Op(item.op), resolved(item), str(item.pk), item.created_at)
    except StripeError:
        _later(item, OutboxState.UNKNOWN, error, now)
        return
    if thing:
        _done(item, thing, now)
    else:
        _renew(item)
        _later(item, OutboxState.PENDING, error, now)


def _look_again(item: OutboxItem, error: StripeRefusedError, now: datetime) -> None:
    """Something may have happened there since: then it is done, or is another call by now."""
    try:
        is_another = amended(item, now)
        thing = _reached(item)
    except StripeRefusedError:
        _fail(item, OutboxState.FAILED, error, now)
    except StripeError as silence:
        _later(item, OutboxState.UNKNOWN, silence, now)
    else:
        if thing:
            _done(item, thing, now)
        elif is_another:
            _renew(item)
            _later(item, OutboxState.PENDING, error, now)
        else:
            _fail(item, OutboxState.FAILED, error, now)


def _reached(item: OutboxItem) -> Thing | None:
    """The object, if it is already as the call was to make it."""
    if item.op not in _GOALS:
        return None
    return stripe_client.find(Op(item.op), resolved(item), str(item.pk), item.created_at)


def _later(item: OutboxItem, state: OutboxState, error: StripeError, now: datetime) -> None:
    """Not by whoever was slower than the lease."""
    _note(item, state=state, error=str(error)[:500], next_at=now + wait_of(item))


def wait_of(item: OutboxItem) -> timedelta:
    """Longer each time, and not for all at the same moment; the same for the same try."""
    longest = min(FIRST_WAIT_S * 2 ** min(item.attempts, 12), LONGEST_WAIT_S)
    part = crc32(f"{item.pk}:{item.attempts}".encode()) % 1000
    return timedelta(milliseconds=longest * (500 + part // 2))


@transaction.atomic
def _done(item: OutboxItem, thing: Thing, now: datetime) -> None:
    """With what follows from it; not by whoever was slower than the lease."""
    if not _is_mine(item):
        return
    item.state, item.stripe_id, item.error = OutboxState.DONE, str(thing["id"]), ""
    item.done_at = now
    item.save(update_fields=["state", "stripe_id", "error", "done_at"])
    answered(item, thing, now)


@transaction.atomic
def _fail(item: OutboxItem, state: OutboxState, error: StripeRefusedError, now: datetime) -> None:
    if not _is_mine(item):
        return
    log.error("stripe.refused", op=item.op, entity=item.entity, error=str(error), state=state)
    item.state, item.error, item.done_at = state, str(error)[:500], now
    item.save(update_fields=["state", "error", "done_at"])
    refused(item, error, now)


def _note(item: OutboxItem, **changes: Any) -> bool:
    """Unless it was taken over: then nothing of it is ours to say any more."""
    mine = OutboxItem.objects.filter(pk=item.pk, state=OutboxState.SENDING, attempts=item.attempts)
    for name, value in changes.items():
        setattr(item, name, value)
    return bool(mine.update(**changes))


def _is_mine(item: OutboxItem) -> bool:
    locked = OutboxItem.objects.select_for_update().get(pk=item.pk)
    return locked.state == OutboxState.SENDING and locked.attempts == item.attempts
