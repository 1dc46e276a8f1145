"""What units cost, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, override

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tenants.models import new_id


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
    def valid_at(self, moment: datetime) -> Self:
        return self.filter(valid__contains=moment)


class Rate(models.Model):
    """The price of one component of one model over a span of time.

    `model` is the public id that customers name. `price` is in `currency` per `unit_scale` units.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    model = models.CharField(_("model"), max_length=100)
    component = models.CharField(_("component"), max_length=20, choices=Component)
    price = models.DecimalField(_("price"), max_digits=20, decimal_places=6)
    unit_scale = models.PositiveIntegerField(default=1_000_000)
    currency = models.CharField(max_length=3, default="EUR")
    valid = DateTimeRangeField(_("valid"), default_bounds="[)")

    objects = RateQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["model", "component", "valid"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(price__gte=0), name="rate_price_not_negative"),
            models.CheckConstraint(
                condition=Q(unit_scale__in=[1, 60, 1_000_000]), name="rate_unit_scale_known"
            ),
            models.CheckConstraint(condition=Q(currency="EUR"), name="rate_currency_known"),
            ExclusionConstraint(
                name="rate_no_overlap",
                expressions=[
                    (F("model"), RangeOperators.EQUAL),
                    (F("component"), RangeOperators.EQUAL),
                    (F("valid"), RangeOperators.OVERLAPS),
                ],
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.model} {self.get_component_display()}"
