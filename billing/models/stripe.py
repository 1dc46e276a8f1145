"""What is told to Stripe and heard from it, and where the two do not agree."""

from __future__ import annotations

from typing import ClassVar, override

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Organization, TenantQuerySet, new_id


class Op(models.TextChoices):
    """The calls that change something at Stripe."""

    CUSTOMER = "customer.create", _("Make a customer")
    CHECKOUT = "checkout.create", _("Open a checkout")
    EXPIRE = "checkout.expire", _("Close a checkout")
    CHARGE = "payment_intent.create", _("Charge a card")
    CANCEL = "payment_intent.cancel", _("Cancel a charge")
    INVOICE = "invoice.create", _("Make an invoice")
    ITEM = "invoiceitem.create", _("Add a line to an invoice")
    FINALIZE = "invoice.finalize", _("Finalise an invoice")
    VOID = "invoice.void", _("Void an invoice")
    WRITE_OFF = "invoice.mark_uncollectible", _("Write an invoice off")
    DELETE = "invoice.delete", _("Delete the draft of an invoice")
    PAY_ELSEWHERE = "invoice.pay", _("Mark an invoice as paid by bank")
    CREDIT_NOTE = "credit_note.create", _("Issue a credit note")
    REFUND = "refund.create", _("Pay back")


class OutboxState(models.TextChoices):
    """Of `unknown` it is not known whether the call arrived: it is looked for before the next."""

    PENDING = "pending", _("Waiting")
    SENDING = "sending", _("Being sent")
    UNKNOWN = "unknown", _("Unknown")
    DONE = "done", _("Done")
    FAILED = "failed", _("Refused")
    DEAD = "dead", _("Dead")


UNFINISHED: frozenset[OutboxState] = frozenset({
    OutboxState.PENDING, OutboxState.SENDING, OutboxState.UNKNOWN,
})  # fmt: skip


class OutboxItem(models.Model):
    """One call to Stripe, written in the transaction of what it follows from.

    Those of an organization are sent in order. `idem_key` is that of `version`: the same for each
    try, until nothing is left at Stripe that it could repeat. `next_at` is when to try, or until
    when whoever took it has time.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    op = models.CharField(_("act"), max_length=30, choices=Op)
    entity = models.CharField(_("of"), max_length=60)
    version = models.PositiveSmallIntegerField(default=1)
    payload = models.JSONField()
    idem_key = models.CharField(max_length=120, unique=True)
    state = models.CharField(
        _("state"), max_length=10, choices=OutboxState, default=OutboxState.PENDING
    )
    attempts = models.PositiveIntegerField(default=0)
    first_sent_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(default=timezone.now)
    stripe_id = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    done_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["OutboxItem"].as_manager()

    class Meta:
        ordering: ClassVar = ["created_at", "id"]
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "created_at", "id"],
                condition=Q(state__in=["pending", "sending", "unknown"]),
                name="outbox_unfinished",
            ),
            models.Index(fields=["state", "created_at"], name="outbox_state"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["op", "entity"], name="outbox_once"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.op} {self.entity}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED


class EventState(models.TextChoices):
    RECEIVED = "received", _("Waiting")
    DONE = "done", _("Done")
    IGNORED = "ignored", _("Nothing to do")
    REFUSED = "refused", _("Refused")


class WebhookEvent(models.Model):
    """An event of Stripe, once: by its webhook, or fetched since that did not come.

    It is a hint to look at an object. `note` says why it was refused or ignored. Of a body that was
    emptied, at `emptied_at`, only the kind of that object is left.
    """

    id = models.CharField(primary_key=True, max_length=100)
    type = models.CharField(_("event"), max_length=100)
    object_id = models.CharField(_("about"), max_length=100, blank=True)
    body = models.JSONField()
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    is_fetched = models.BooleanField(default=False)
    state = models.CharField(
        _("state"), max_length=10, choices=EventState, default=EventState.RECEIVED
    )
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField()
    note = models.CharField(max_length=500, blank=True)
    done_at = models.DateTimeField(null=True)
    emptied_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-received_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["received_at"], condition=Q(emptied_at=None), name="webhook_event_full"
            ),
            models.Index(
                fields=["next_at"], condition=Q(state="received"), name="webhook_event_waiting"
            ),
            models.Index(fields=["-received_at"], name="webhook_event_received"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.type} {self.object_id}"


class WebhookRefusal(models.Model):
    """How often webhooks were refused on a day, and why: anyone can send them."""

    day = models.DateField()
    reason = models.CharField(max_length=200)
    count = models.PositiveBigIntegerField(default=1)
    last_at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["-last_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "reason"], name="webhook_refusal_once")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.count} × {self.reason}"


class DifferenceKind(models.TextChoices):
    """`lag` is younger than two hours and may still come right by itself."""

    LAG = "lag", _("Not there yet")
    MISSING = "missing", _("Missing")
    STALE = "stale", _("Out of date")
    EXTRA = "extra", _("Not ours")
    VALUE = "value", _("Another amount")


class Reconciliation(models.Model):
    """A difference between what we have and what Stripe has, from when it was first seen.

    It is open until a later comparison does not find it again.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("difference"), max_length=10, choices=DifferenceKind)
    subject = models.CharField(_("of"), max_length=30)
    entity = models.CharField(max_length=100)
    ours = models.CharField(_("ours"), max_length=100, blank=True)
    theirs = models.CharField(_("Stripe’s"), max_length=100, blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-first_seen_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subject", "entity", "kind"],
                condition=Q(resolved_at=None),
                name="reconciliation_open_once",
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.subject} {self.entity}: {self.get_kind_display()}"


class StripeSync(models.Model):
    """How far we are with Stripe; one row. `down_since` is since when it does not answer.

    `is_behind` is whether events may have been missed: they are fetched from `events_until` on.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    events_until = models.DateTimeField(null=True)
    down_since = models.DateTimeField(null=True)
    is_behind = models.BooleanField(default=False)
    reconciled_at = models.DateTimeField(null=True)
    compared = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(id=1), name="stripe_sync_one_row")
        ]

    @override
    def __str__(self) -> str:
        return f"Stripe until {self.events_until}"
