"""Payments: what customers pay, how, and whether they do it by themselves or late."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.invoices import CreditNote, Invoice
from tenants.models import Organization, TenantQuerySet, User, new_id


class PaymentKind(models.TextChoices):
    TOP_UP = "top_up", _("Top-up")
    AUTO_TOP_UP = "auto_top_up", _("Automatic top-up")
    INVOICE = "invoice", _("Invoice")
    MANUAL = "manual", _("Entered by hand")


class PaymentState(models.TextChoices):
    """Money counts from `paid` on, and only a payment that was verified becomes that."""

    CREATED = "created", _("Begun")
    PENDING = "pending", _("Under way")
    NEEDS_ACTION = "needs_action", _("To be confirmed")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Failed")
    REFUNDED = "refunded", _("Refunded")
    CANCELLED = "cancelled", _("Cancelled")


OPEN: frozenset[PaymentState] = frozenset({
    PaymentState.CREATED, PaymentState.PENDING, PaymentState.NEEDS_ACTION,
})  # fmt: skip
"""Whoever began these may still pay."""


class Provider(models.TextChoices):
    STRIPE = "stripe", _("Card")
    MANUAL = "manual", _("Bank")


class Payment(models.Model):
    """`total` is what is paid: `net`, which is credited, and `vat`. `refunded` is part of `total`,
    and so is `excess`: what of it was too much for its invoice, until it is given back.

    `vat_rate` (percent) and `vat_treatment` were decided when it began. `invoice` is what it pays,
    or the document of the credit. `reference` is the bank's, or which automatic top-up it is: each
    is there once. `checkout_url` is where it is paid, while that can be done.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="payments")
    invoice = models.ForeignKey(
        Invoice, models.PROTECT, null=True, blank=True, related_name="payments"
    )
    kind = models.CharField(_("kind"), max_length=12, choices=PaymentKind)
    net = models.DecimalField(_("net"), max_digits=12, decimal_places=2)
    vat = models.DecimalField(_("VAT"), max_digits=12, decimal_places=2, default=Decimal(0))
    total = models.DecimalField(_("total"), max_digits=12, decimal_places=2)
    refunded = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
    excess = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
    vat_rate = models.DecimalField(max_digits=5, decimal_places=2, default=Decimal(0))
    vat_treatment = models.CharField(max_length=20, blank=True)
    currency = models.CharField(max_length=3, default="EUR")
    state = models.CharField(
        _("state"), max_length=12, choices=PaymentState, default=PaymentState.CREATED
    )
    provider = models.CharField(_("paid by"), max_length=10, choices=Provider)
    stripe_payment_intent = models.CharField(max_length=100, blank=True)
    stripe_checkout_session = models.CharField(max_length=100, blank=True)
    checkout_url = models.URLField(max_length=2000, blank=True)
    reference = models.CharField(_("reference"), max_length=100, blank=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    paid_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["Payment"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at"], name="payment_of"),
            models.Index(fields=["stripe_checkout_session"], name="payment_checkout"),
            models.Index(fields=["created_at"], condition=Q(excess__gt=0), name="payment_too_much"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(total=F("net") + F("vat")), name="payment_total"),
            models.CheckConstraint(condition=Q(net__gt=0, vat__gte=0), name="payment_positive"),
            models.CheckConstraint(
                condition=Q(refunded__gte=0, refunded__lte=F("total")), name="payment_refunded"
            ),
            models.CheckConstraint(
                condition=Q(excess__gte=0, excess__lte=F("total") - F("refunded")),
                name="payment_excess",
            ),
            models.UniqueConstraint(
                fields=["stripe_payment_intent"],
                condition=~Q(stripe_payment_intent=""),
                name="payment_intent_once",
            ),
            models.UniqueConstraint(
                fields=["provider", "reference"],
                condition=Q(provider="manual"),
                name="payment_reference_once",
            ),
            models.UniqueConstraint(
                fields=["organization", "kind", "reference"],
                condition=Q(kind="auto_top_up"),
                name="payment_auto_once",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.total} {self.currency}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def refundable(self) -> Decimal:
        """What credit notes may still pay back, VAT included."""
        return self.total - self.refunded - self.excess if self.paid_at else Decimal(0)


class RefundState(models.TextChoices):
    PENDING = "pending", _("Under way")
    DONE = "done", _("Paid back")
    FAILED = "failed", _("Failed")


class Refund(models.Model):
    """Money that goes back: it is owed until it is certain that it arrived.

    `credit_note` says why, but of what was paid too much. `reference` is of a transfer by bank.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    credit_note = models.ForeignKey(CreditNote, models.PROTECT, null=True, related_name="refunds")
    net = models.DecimalField(_("net"), max_digits=12, decimal_places=2)
    vat = models.DecimalField(_("VAT"), max_digits=12, decimal_places=2)
    reason = models.CharField(_("reason"), max_length=200)
    state = models.CharField(
        _("state"), max_length=10, choices=RefundState, default=RefundState.PENDING
    )
    reference = models.CharField(_("reference"), max_length=100, blank=True)
    stripe_id = models.CharField(max_length=100, blank=True)
    failure = models.CharField(_("failure"), max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Refund"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    @override
    def __str__(self) -> str:
        return f"{self.total} {self.payment.currency}"

    @property
    def total(self) -> Decimal:
        return self.net + self.vat


class StripeCustomer(models.Model):
    """Who an organization is at Stripe, and the card that pays when nobody is there."""

    organization = models.OneToOneField(Organization, models.PROTECT, primary_key=True)
    stripe_id = models.CharField(max_length=100, unique=True, null=True)  # noqa: DJ001 - many have none
    payment_method = models.CharField(max_length=100, blank=True)
    label = models.CharField(_("card"), max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["StripeCustomer"].as_manager()

    @override
    def __str__(self) -> str:
        return self.stripe_id or str(self.organization_id)


class AutoTopUpState(models.TextChoices):
    IDLE = "idle", _("Waiting")
    REQUESTED = "requested", _("Requested")
    CHARGING = "charging", _("Charging the card")
    NEEDS_ACTION = "needs_action", _("To be confirmed")


class AutoTopUp(models.Model):
    """Credit of `amount` (net) that is bought when less than `threshold` is left.

    In a month of UTC never more than `monthly_cap` (net). One is in flight at a time: `payment` is
    it, and `sequence` counts them. It pauses until `cool_until` after a failure, and is off after
    three in a row.
    """

    organization = models.OneToOneField(Organization, models.PROTECT, primary_key=True)
    is_on = models.BooleanField(_("top up automatically"), default=False)
    threshold = models.DecimalField(_("when less is left than"), max_digits=12, decimal_places=2)
    amount = models.DecimalField(_("buy credit of"), max_digits=12, decimal_places=2)
    monthly_cap = models.DecimalField(_("in a month at most"), max_digits=12, decimal_places=2)
    state = models.CharField(max_length=12, choices=AutoTopUpState, default=AutoTopUpState.IDLE)
    payment = models.ForeignKey(Payment, models.SET_NULL, null=True, related_name="+")
    sequence = models.PositiveIntegerField(default=0)
    failures = models.PositiveSmallIntegerField(default=0)
    cool_until = models.DateTimeField(null=True)
    failure = models.CharField(max_length=300, blank=True)
    set_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    objects = TenantQuerySet["AutoTopUp"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(threshold__gte=0, amount__gt=0, monthly_cap__gte=F("amount")),
                name="auto_top_up_amounts",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.amount} below {self.threshold}"


class DunningStage(models.IntegerChoices):
    """The days that an invoice is late at which each begins."""

    TOLD = 0, _("Payment due")
    REMINDED = 3, _("Reminded")
    WARNED = 7, _("Warned")
    RESTRICTED = 14, _("Restricted")
    SUSPENDED = 30, _("Suspended")
    UNCOLLECTIBLE = 60, _("Proposed as uncollectible")


class Dunning(models.Model):
    """An organization that is late, from `late_since` on; without a row none is.

    `has_suspended` is whether it is suspended for that: then paying ends it.
    """

    organization = models.OneToOneField(Organization, models.PROTECT, primary_key=True)
    stage = models.PositiveSmallIntegerField(choices=DunningStage)
    late_since = models.DateTimeField()
    has_suspended = models.BooleanField(default=False)
    stepped_at = models.DateTimeField()

    objects = TenantQuerySet["Dunning"].as_manager()

    @override
    def __str__(self) -> str:
        return self.get_stage_display()


class NoticeKind(models.TextChoices):
    PAYMENT_FAILED = "payment_failed"
    NEEDS_ACTION = "needs_action"
    AUTO_TOP_UP_OFF = "auto_top_up_off"
    LATE = "late"
    SETTLED = "settled"


class PaymentNotice(models.Model):
    """What people of an organization are to be told of money, once: `source` says of what."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    kind = models.CharField(max_length=20, choices=NoticeKind)
    source = models.CharField(max_length=100)
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, related_name="+")
    invoice = models.ForeignKey(Invoice, models.PROTECT, null=True, related_name="+")
    stage = models.PositiveSmallIntegerField(choices=DunningStage, null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    told_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["PaymentNotice"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "kind", "source"], name="payment_notice_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["created_at"], condition=Q(told_at=None), name="payment_notice_untold"
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.source}"
