"""What units cost, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, override

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.prices import PriceBook
from tenants.models import User, new_id


class Component(models.TextChoices):
    """What a rate prices. Each request is the sum of its components."""

    INPUT = "input", _("Input")
    CACHED_INPUT = "cached_input", _("Cached input")
    OUTPUT = "output", _("Output")
    AUDIO_SECOND = "audio_second", _("Audio")

    @property
    def unit_scale(self) -> int:
        """How many units its price is for: a million tokens, or a minute of audio."""
        return 60 if self is Component.AUDIO_SECOND else 1_000_000


class RateQuerySet(models.QuerySet["Rate"]):
    def approved(self) -> Self:
        """Those that count, now or at some time."""
        return self.filter(approved_at__isnull=False)

    def proposed(self) -> Self:
        """Those that wait for a second person."""
        return self.filter(approved_at=None)

    def valid_at(self, moment: datetime) -> Self:
        return self.approved().filter(valid__contains=moment)


class Rate(models.Model):
    """The price of one component of one model in one book, over a span of time.

    `model` is the public id that customers name. `price` is in the book's currency per `unit_scale`
    units. Until `approved_at` it is a proposal and rates nothing. Once it has begun, a trigger lets
    nothing change but an end that is still to come.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    book = models.ForeignKey(PriceBook, models.PROTECT, related_name="rates")
    model = models.CharField(_("model"), max_length=100)
    component = models.CharField(_("component"), max_length=20, choices=Component)
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=6)
    unit_scale = models.PositiveIntegerField(default=1_000_000)
    valid = DateTimeRangeField(_("valid"), default_bounds="[)")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    approved_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True, editable=False)

    objects = RateQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["book", "model", "component", "valid"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(price__gte=0), name="rate_price_not_negative"),
            models.CheckConstraint(
                condition=Q(unit_scale__in=[1, 60, 1_000_000]), name="rate_unit_scale_known"
            ),
            models.CheckConstraint(
                condition=Q(created_by=None) | ~Q(created_by=F("approved_by")),
                name="rate_approved_by_another",
            ),
            ExclusionConstraint(
                name="rate_no_overlap",
                condition=Q(approved_at__isnull=False),
                expressions=[
                    (F("book"), RangeOperators.EQUAL),
                    (F("model"), RangeOperators.EQUAL),
                    (F("component"), RangeOperators.EQUAL),
                    (F("valid"), RangeOperators.OVERLAPS),
                ],
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.model} {self.get_component_display()}"
