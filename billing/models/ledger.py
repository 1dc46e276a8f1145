"""Double-entry books: accounts, immutable transfers between them, and their balances."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, override

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Organization, TenantQuerySet, new_id


class AccountKind(models.TextChoices):
    """Whose money an account holds. The first five are an organization's, the others ours.

    `owed` is what we have to pay back: from credit notes, and what was paid too much.
    """

    PREPAID = "prepaid", _("Prepaid credit")
    PROMO = "promo", _("Promotional credit")
    UNBILLED = "unbilled", _("Unbilled usage")
    RECEIVABLE = "receivable", _("Receivable")
    OWED = "owed", _("To pay back")
    REVENUE = "revenue", _("Revenue")
    DISCOUNT = "discount", _("Discounts")
    PROMO_EXPENSE = "promo_expense", _("Promotional expense")
    CLEARING = "clearing", _("Payment clearing")
    BANK = "bank", _("Bank")
    FEE_EXPENSE = "fee_expense", _("Payment fees")
    BAD_DEBT = "bad_debt", _("Bad debt")
    VAT_PAYABLE = "vat_payable", _("VAT to pay")
    ROUNDING = "rounding", _("Rounding")
    BREAKAGE = "breakage", _("Breakage")

    @property
    def is_debit(self) -> bool:
        """Whether it grows by debits: what we own or spend, not what we owe or earn."""
        return self in _GROW_BY_DEBITS


_GROW_BY_DEBITS = frozenset({
    AccountKind.UNBILLED, AccountKind.RECEIVABLE, AccountKind.PROMO_EXPENSE, AccountKind.CLEARING,
    AccountKind.BANK, AccountKind.FEE_EXPENSE, AccountKind.BAD_DEBT, AccountKind.DISCOUNT,
})  # fmt: skip


class Account(models.Model):
    """`part` tells apart those of one kind: a component of revenue, a lot of promotional credit.

    A lot of credit is not to be used from `expires_at` on.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, related_name="accounts"
    )
    kind = models.CharField(_("kind"), max_length=20, choices=AccountKind)
    part = models.CharField(max_length=50, blank=True)
    currency = models.CharField(max_length=3, default="EUR")
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Account"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "kind", "part", "currency"],
                name="account_unique",
                nulls_distinct=False,
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.part}".strip()


class TransferKind(models.TextChoices):
    """Pending money is set apart until one post or one void resolves it."""

    SINGLE = "single", _("Single")
    PENDING = "pending", _("Pending")
    POST = "post", _("Post")
    VOID = "void", _("Void")


class Transfer(models.Model):
    """`amount` moves from `debit` to `credit`. A trigger refuses UPDATE and DELETE.

    Its id follows from its source (`billing.ledger.transfer_id`), so whoever tries again makes the
    same transfer. A post may be less than its `pending`; the rest is free again.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    debit = models.ForeignKey(Account, models.PROTECT, related_name="+")
    credit = models.ForeignKey(Account, models.PROTECT, related_name="+")
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    kind = models.CharField(max_length=10, choices=TransferKind, default=TransferKind.SINGLE)
    pending = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    timeout_at = models.DateTimeField(null=True)
    code = models.CharField(max_length=50)
    source_type = models.CharField(max_length=50)
    source_id = models.CharField(max_length=100)
    batch_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["debit", "created_at"], name="transfer_debit"),
            models.Index(fields=["credit", "created_at"], name="transfer_credit"),
            models.Index(fields=["batch_id"], name="transfer_batch"),
            models.Index(fields=["-created_at", "-id"], name="transfer_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(amount__gt=0) | Q(kind=TransferKind.VOID), name="transfer_amount"
            ),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="transfer_moves"),
            models.UniqueConstraint(
                fields=["source_type", "source_id", "code", "debit", "credit"],
                name="transfer_source_unique",
            ),
            models.UniqueConstraint(
                fields=["pending"],
                condition=Q(kind__in=[TransferKind.POST, TransferKind.VOID]),
                name="transfer_resolved_once",
            ),
            models.CheckConstraint(
                condition=Q(pending=None, kind__in=[TransferKind.SINGLE, TransferKind.PENDING])
                | Q(pending__isnull=False, kind__in=[TransferKind.POST, TransferKind.VOID]),
                name="transfer_resolves",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.code} {self.amount}"


class Balance(models.Model):
    """The sums of an account's transfers, kept in the transaction that makes each.

    A nightly recomputation must find no difference.
    """

    account = models.OneToOneField(Account, models.PROTECT, primary_key=True)
    debits_pending = models.DecimalField(max_digits=38, decimal_places=12, default=Decimal(0))
    debits_posted = models.DecimalField(max_digits=38, decimal_places=12, default=Decimal(0))
    credits_pending = models.DecimalField(max_digits=38, decimal_places=12, default=Decimal(0))
    credits_posted = models.DecimalField(max_digits=38, decimal_places=12, default=Decimal(0))

    @override
    def __str__(self) -> str:
        return str(self.account_id)


class Books(models.Model):
    """The head of an organization's books. Whoever posts to them holds its row's lock.

    `version` counts up with each posting: a snapshot of a higher version is newer. `currency` stays
    once there is an account. Usage of before `closed_until` that is booked from now on is late: it
    goes on the invoice of the month that begins there.
    """

    organization = models.OneToOneField(Organization, models.PROTECT, primary_key=True)
    currency = models.CharField(max_length=3, default="EUR")
    version = models.PositiveBigIntegerField(default=0)
    closed_until = models.DateField(null=True)

    objects = TenantQuerySet["Books"].as_manager()

    @override
    def __str__(self) -> str:
        return str(self.organization_id)
