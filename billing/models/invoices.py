"""Invoices and credit notes, whom they go to, and the numbers they bear."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Final, override

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.rates import Component
from tenants.models import Organization, TenantQuerySet, User, new_id


class BillingProfile(models.Model):
    """Whom an organization's invoices go to. `country` is ISO 3166, two letters.

    `vat_evidence` is what was answered when the VAT id was looked up at `vat_checked_at`:
    `is_valid`, `source`, `reference` (the number of the consultation), `name`.
    """

    organization = models.OneToOneField(
        Organization, models.PROTECT, primary_key=True, related_name="billing_profile"
    )
    legal_name = models.CharField(_("legal name"), max_length=200)
    address = models.CharField(_("address"), max_length=200, blank=True)
    address_more = models.CharField(_("address, second line"), max_length=200, blank=True)
    postcode = models.CharField(_("postcode"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=2, default="SE")
    is_business = models.BooleanField(_("a business"), default=True)
    vat_id = models.CharField(_("VAT id"), max_length=20, blank=True)
    vat_checked_at = models.DateTimeField(null=True, editable=False)
    vat_evidence = models.JSONField(default=dict, editable=False)
    email = models.EmailField(_("mail for invoices"), blank=True)
    reference = models.CharField(_("your reference"), max_length=100, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantQuerySet["BillingProfile"].as_manager()

    @override
    def __str__(self) -> str:
        return self.legal_name


class InvoiceKind(models.TextChoices):
    USAGE = "usage", _("Usage")
    TOP_UP = "top_up", _("Top-up")


class InvoiceState(models.TextChoices):
    """`open` to `pushed` are before it has a number. `halted` waits for a person."""

    OPEN = "open", _("Open")
    CLOSING = "closing", _("Closing")
    FROZEN = "frozen", _("Frozen")
    DRAFT = "draft", _("Draft")
    PUSHING = "pushing", _("On its way to Stripe")
    PUSHED = "pushed", _("At Stripe")
    HALTED = "halted", _("Halted")
    FINALISED = "finalised", _("Finalised")
    PAST_DUE = "past_due", _("Past due")
    PAID = "paid", _("Paid")
    UNCOLLECTIBLE = "uncollectible", _("Uncollectible")
    VOID = "void", _("Void")


class VatTreatment(models.TextChoices):
    DOMESTIC = "domestic", _("Domestic")
    REVERSE_CHARGE = "reverse_charge", _("Reverse charge")
    CONSUMER = "consumer", _("Consumer in the EU")
    OUTSIDE = "outside", _("Outside the EU")


LEAST_CHARGE: Final = {"EUR": Decimal("0.50"), "SEK": Decimal(3)}
"""No card can be charged for less."""


class InvoiceQuerySet(TenantQuerySet["Invoice"]):
    def numbered(self) -> InvoiceQuerySet:
        """Those that customers may see."""
        return self.exclude(number="")

    def chargeable(self) -> InvoiceQuerySet:
        """Those of which so much is open that a card can pay it."""
        enough = Q()
        for currency, least in LEAST_CHARGE.items():
            enough |= Q(currency=currency, total__gte=F("paid") + F("credited") + least)
        return self.filter(enough)


def _money(name: str) -> models.DecimalField[Decimal, Decimal]:
    return models.DecimalField(name, max_digits=14, decimal_places=2, default=Decimal(0))


class Invoice(models.Model):
    """What an organization owes for a month of usage, or has paid for credit.

    Usage that its credit has paid for makes it a statement, of 0 to pay. The period ends before
    `period_end`. `root` (hex) is the Merkle root over its `event_count` events, of which
    `usage.csv` has the text. `paid` and `credited` count up after it is finalised; from then on a
    trigger refuses every other change but of `state` and what Stripe calls it.

    `seller` and `buyer` are who both were then. `vat_sek` is its VAT in SEK where that must stand
    on it, at `sek_rate` SEK for one EUR.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="invoices")
    kind = models.CharField(_("kind"), max_length=10, choices=InvoiceKind)
    number = models.CharField(_("number"), max_length=30, blank=True)
    state = models.CharField(
        _("state"), max_length=20, choices=InvoiceState, default=InvoiceState.OPEN
    )
    period_start = models.DateField(_("from"))
    period_end = models.DateField(_("until"))
    currency = models.CharField(_("currency"), max_length=3)
    subtotal = _money("subtotal")
    vat_rate = models.DecimalField(_("VAT rate"), max_digits=5, decimal_places=2, default=0)
    vat_amount = _money("VAT")
    vat_treatment = models.CharField(max_length=20, choices=VatTreatment, blank=True)
    vat_note = models.CharField(max_length=200, blank=True)
    vat_sek = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    sek_rate = models.DecimalField(max_digits=10, decimal_places=6, null=True)
    sek_rate_day = models.DateField(null=True)
    sek_rate_source = models.CharField(max_length=100, blank=True)
    total = _money("total")
    paid = _money("paid")
    credited = _money("credited")
    root = models.CharField(max_length=64, blank=True)
    event_count = models.PositiveBigIntegerField(default=0)
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    source_id = models.CharField(max_length=100, blank=True)
    halted_because = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    frozen_at = models.DateTimeField(null=True)
    finalised_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(_("due"), null=True)
    paid_at = models.DateTimeField(null=True)
    stripe_id = models.CharField(max_length=100, blank=True)
    hosted_url = models.URLField(max_length=500, blank=True)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-period_start", "-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["organization", "-period_start"], name="invoice_of_organization"),
            models.Index(fields=["state", "due_at"], name="invoice_state"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "period_start"],
                condition=Q(kind=InvoiceKind.USAGE) & ~Q(state=InvoiceState.VOID),
                name="invoice_once_a_month",
            ),
            models.UniqueConstraint(
                fields=["number"], condition=~Q(number=""), name="invoice_number_once"
            ),
            models.UniqueConstraint(
                fields=["organization", "source_id"],
                condition=Q(kind=InvoiceKind.TOP_UP),
                name="invoice_of_top_up_once",
            ),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") + F("vat_amount")), name="invoice_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(subtotal__gte=0, vat_amount__gte=0), name="invoice_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(credited__lte=F("total"), credited__gte=0, paid__gte=0),
                name="invoice_credited_within_total",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.number or f"{self.get_kind_display()} {self.period_start:%Y-%m}"

    @property
    def to_pay(self) -> Decimal:
        """What is still open of it."""
        return max(self.total - self.credited - self.paid, Decimal(0))

    @property
    def is_trifle(self) -> bool:
        """Whether so little of it is open that no card can pay it: it waits, and nobody is late."""
        return self.to_pay < LEAST_CHARGE[self.currency]

    @property
    def is_statement(self) -> bool:
        """Whether credit has paid for all of it."""
        return self.kind == InvoiceKind.USAGE and not self.total


class LineKind(models.TextChoices):
    """`late` is usage of a month that was closed before; `promo` and `prepaid` paid for usage."""

    USAGE = "usage", _("Usage")
    LATE = "late", _("Late usage")
    DISCOUNT = "discount", _("Discount")
    PROMO = "promo", _("Promotional credit")
    PREPAID = "prepaid", _("Prepaid credit")
    TOP_UP = "top_up", _("Top-up")


class InvoiceLine(models.Model):
    """`quantity` units at `unit_price` for `unit_scale` of them; `exact` is rounded once, here.

    `month` is the month of the usage, `root` the Merkle root over the events of its model at these
    prices. Lines without usage have neither a component nor a root.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=LineKind, default=LineKind.USAGE)
    month = models.DateField(null=True)
    model = models.CharField(max_length=100, blank=True)
    component = models.CharField(max_length=20, choices=Component, blank=True)
    quantity = models.PositiveBigIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=20, decimal_places=6, default=Decimal(0))
    unit_scale = models.PositiveIntegerField(default=1)
    exact = models.DecimalField(max_digits=38, decimal_places=12)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    text = models.CharField(max_length=200)
    root = models.CharField(max_length=64, blank=True)

    objects = TenantQuerySet["InvoiceLine"].as_manager()

    class Meta:
        ordering: ClassVar = ["invoice", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position")
        ]

    @override
    def __str__(self) -> str:
        return self.text


class CreditNoteState(models.TextChoices):
    """Where the money went: off what is open, or to what we pay back, or into prepaid credit."""

    ISSUED = "issued", _("Issued")
    APPLIED = "applied", _("Taken off the invoice")
    OWED = "owed", _("To pay back")
    REFUNDED = "refunded", _("Paid back")
    PREPAID = "prepaid", _("Given as credit")


class CreditNote(models.Model):
    """A part of a finalised invoice, or all of it, taken back. It never changes but in its state.

    `from_open` of its total is taken off what was still open; the rest was paid already. `vat_sek`
    is its VAT in SEK, where its invoice has that.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_notes")
    number = models.CharField(_("number"), max_length=30, unique=True)
    reason = models.CharField(_("reason"), max_length=300)
    net = _money("net")
    vat = _money("VAT")
    total = _money("total")
    from_open = _money("from open")
    vat_sek = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    state = models.CharField(
        _("state"), max_length=20, choices=CreditNoteState, default=CreditNoteState.ISSUED
    )
    issued_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    issued_at = models.DateTimeField(default=timezone.now, editable=False)
    stripe_id = models.CharField(max_length=100, blank=True)

    objects = TenantQuerySet["CreditNote"].as_manager()

    class Meta:
        ordering: ClassVar = ["-issued_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(total=F("net") + F("vat"), total__gt=0, from_open__lte=F("total")),
                name="credit_note_adds_up",
            )
        ]

    @override
    def __str__(self) -> str:
        return self.number


class CreditNoteLine(models.Model):
    """`line` is the line of the invoice that it takes back from, if it is of one."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    note = models.ForeignKey(CreditNote, models.CASCADE, related_name="lines")
    line = models.ForeignKey(InvoiceLine, models.PROTECT, null=True, related_name="+")
    text = models.CharField(max_length=300)
    amount = models.DecimalField(max_digits=14, decimal_places=2, validators=[MinValueValidator(0)])

    objects = TenantQuerySet["CreditNoteLine"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]

    @override
    def __str__(self) -> str:
        return self.text


class InvoiceDocument(models.Model):
    """The PDF as it was first made, of an invoice or of one of its credit notes."""

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="documents")
    note = models.ForeignKey(CreditNote, models.PROTECT, null=True, related_name="documents")
    pdf = models.BinaryField()
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["InvoiceDocument"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["invoice", "note"], name="invoice_document_once", nulls_distinct=False
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.note or self.invoice}.pdf"


class NumberSeries(models.Model):
    """The last number of a series in a year; its row is locked until that number is committed."""

    series = models.CharField(max_length=10)
    year = models.PositiveSmallIntegerField()
    last = models.PositiveIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "year"], name="number_series_of_year")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.series}-{self.year}"
