"""Books of prices: the list in each currency, those of plans, and of single organizations."""

from __future__ import annotations

from typing import ClassVar, Final, override
from uuid import UUID

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Organization, TenantQuerySet, new_id


class Currency(models.TextChoices):
    """What can be paid in. Nothing ever converts between them."""

    EUR = "EUR"
    SEK = "SEK"


LIST_EUR: Final = UUID("01900000-0000-7000-8000-0000000000e0")
LIST_SEK: Final = UUID("01900000-0000-7000-8000-0000000000e1")
LISTS: Final = {Currency.EUR: LIST_EUR, Currency.SEK: LIST_SEK}
"""The ids of the list prices are the same in every installation."""


class PriceBook(models.Model):
    """Rates in one currency. What it has no rate for costs what its parent says.

    The lists have no parent. A book of an `organization` is for no other. A trigger refuses
    another parent or currency: what was rated is rated the same again.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children"
    )
    organization = models.ForeignKey(
        Organization, models.PROTECT, null=True, blank=True, related_name="price_books"
    )
    is_public = models.BooleanField(_("shown to everybody"), default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["PriceBook"].as_manager()

    class Meta:
        ordering: ClassVar = ["slug"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(currency__in=Currency.values), name="price_book_currency_known"
            ),
            models.CheckConstraint(
                condition=Q(parent__isnull=False) | Q(pk__in=[LIST_EUR, LIST_SEK]),
                name="price_book_ends_at_a_list",
            ),
            models.CheckConstraint(
                condition=~Q(parent=F("id")), name="price_book_not_its_own_parent"
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name


class VolumeTier(models.Model):
    """Of what a month costs above `from_amount` (in the book's currency), `percent` is let off.

    It holds up to the next tier of the same book. A book without tiers has those of its parent.
    """

    book = models.ForeignKey(PriceBook, models.CASCADE, related_name="tiers")
    from_amount = models.DecimalField(
        _("from"), max_digits=12, decimal_places=2, validators=[MinValueValidator(0)]
    )
    percent = models.DecimalField(
        _("percent"), max_digits=5, decimal_places=2,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )  # fmt: skip

    class Meta:
        ordering: ClassVar = ["book", "from_amount"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["book", "from_amount"], name="volume_tier_unique"),
            models.CheckConstraint(
                condition=Q(from_amount__gte=0, percent__gte=0, percent__lte=100),
                name="volume_tier_sane",
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.percent} % from {self.from_amount}"
