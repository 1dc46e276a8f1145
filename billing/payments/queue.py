"""Putting calls to Stripe into the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from billing.models import UNFINISHED, Op, OutboxItem, OutboxState, StripeCustomer
from billing.stripe_client import MADE, StripeRefusedError
from tenants import audit
from tenants.models import Organization, User

REF: Final = "ref:"
CUSTOMER: Final = "ref:customer"
"""Stands for the id of the organization's customer, which may not be there yet."""

_ONCE: Final = frozenset({Op.CHARGE, Op.REFUND})
"""What is begun anew where these were refused is a call of its own: both could move money."""
REFUSED: Final = frozenset({OutboxState.FAILED, OutboxState.DEAD})


def outbox_add(
    organization: Organization, op: Op, entity: str, payload: Mapping[str, Any], now: datetime
) -> OutboxItem:
    """Have it sent after the commit of the caller's transaction, once for (op, entity)."""
    fields = {
        "organization": organization, "payload": dict(payload), "idem_key": key_of(op, entity, 1),
        "next_at": now, "created_at": lambda: _after_all(organization, now),
    }  # fmt: skip
    return OutboxItem.objects.get_or_create(op=op, entity=entity, defaults=fields)[0]


def outbox_renew(
    organization: Organization, op: Op, entity: str, payload: Mapping[str, Any], now: datetime
) -> OutboxItem:
    """As `outbox_add`; and what was refused is sent again, as it is to be now."""
    item = outbox_add(organization, op, entity, payload, now)
    if item.state in REFUSED:
        item.payload = dict(payload)
        _send_again(item, now)
    return item


def _after_all(organization: Organization, now: datetime) -> datetime:
    """Later than whatever waits already, and may be referred to: another has another clock."""
    waiting = OutboxItem.objects.for_organization(organization).filter(state__in=UNFINISHED)
    last = waiting.order_by("-created_at").values_list("created_at", flat=True).first()
    return max(now, last + timedelta(microseconds=1)) if last else now


def key_of(op: str, entity: str, version: int) -> str:
    return f"v1:{op}:{entity}:{version}"


def made_by(op: Op, entity: str) -> str:
    """Stands in a payload for the id of what an earlier row makes."""
    return f"{REF}{op.value}:{entity}"


@transaction.atomic
def outbox_retry(*, actor: User, item: OutboxItem, now: datetime) -> OutboxItem:
    """Send again what Stripe has refused. ValidationError unless it has."""
    item = OutboxItem.objects.select_for_update().get(pk=item.pk)
    if item.state not in REFUSED:
        raise ValidationError(_("Only what was refused can be sent again."))
    if item.op in _ONCE:
        raise ValidationError(_("Its payment has failed with it: begin it anew on that page."))
    _send_again(item, now)
    audit.record(
        actor=actor, action="stripe.send_again", target=item, organization=item.organization,
        op=item.op, of=item.entity, was=item.error,
    )  # fmt: skip
    return item


def _send_again(item: OutboxItem, now: datetime) -> None:
    """With a new key: the old one would bring the same refusal. It may refer to what is new."""
    item.created_at = _after_all(item.organization, now)
    item.version += 1
    item.idem_key = key_of(item.op, item.entity, item.version)
    item.state, item.next_at = OutboxState.PENDING, now
    item.first_sent_at = item.done_at = None
    item.save()


def resolved(item: OutboxItem) -> dict[str, Any]:
    """Its payload with ids for what stands for them: the same each time.

    StripeRefusedError when what it refers to was never made.
    """
    payload: dict[str, Any] = _filled(item.payload, item)
    if item.op in MADE:
        payload["metadata"] = {**payload.get("metadata", {}), "outbox_id": str(item.pk)}
    return payload


def _filled(part: Any, item: OutboxItem) -> Any:
    if isinstance(part, dict):
        return {name: _filled(value, item) for name, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, item) for value in part]
    return _id_of(part, item) if isinstance(part, str) and part.startswith(REF) else part


def _id_of(reference: str, item: OutboxItem) -> str:
    if reference == CUSTOMER:
        customers = StripeCustomer.objects.for_organization(item.organization)
        found = customers.values_list("stripe_id", flat=True).first()
    else:
        op, _colon, entity = reference.removeprefix(REF).partition(":")
        done = OutboxItem.objects.filter(op=op, entity=entity, state=OutboxState.DONE)
        found = done.values_list("stripe_id", flat=True).first()
    if not found:
        raise StripeRefusedError(f"What it refers to was not made: {reference.removeprefix(REF)}.")
    return found
