"""How much: rates, usage events and their rollup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Final, Self, override

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q, Sum
from django.db.models.functions import TruncDay
from django.utils.translation import gettext_lazy as _

from billing.usage import UsageRow, UsageSums
from tenants.models import ApiKey, Organization, Project, TenantQuerySet, new_id


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


class Outcome(models.TextChoices):
    """How a request ended; the ending decides what is billed."""

    COMPLETED = "completed", _("Completed")
    CLIENT_DISCONNECT = "client_disconnect", _("Client left")
    UPSTREAM_ERROR = "upstream_error", _("Backend failed")
    TIMEOUT = "timeout", _("Timed out")


class UsageEvent(models.Model):
    """The immutable record of one request. A trigger refuses UPDATE and DELETE."""

    pk = models.CompositePrimaryKey("organization_id", "request_id")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    request_id = models.UUIDField()
    client_request_id = models.CharField(max_length=128, blank=True)
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="+")
    model = models.CharField(max_length=100)
    backend = models.CharField(max_length=100)
    region = models.CharField(max_length=50)
    endpoint = models.CharField(max_length=50)
    streamed = models.BooleanField()
    outcome = models.CharField(max_length=20, choices=Outcome)
    admitted_at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    ttft_ms = models.PositiveIntegerField(null=True)
    duration_ms = models.PositiveIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    cached_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    audio_seconds = models.PositiveBigIntegerField(default=0)
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    currency = models.CharField(max_length=3)

    objects = TenantQuerySet["UsageEvent"].as_manager()

    class Meta:
        ordering: ClassVar = ["-occurred_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "-occurred_at", "-request_id"], name="usage_event_recent"
            )
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(cached_tokens__lte=F("input_tokens")), name="usage_cached_within_input"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="usage_amount_not_negative"),
        ]

    @override
    def __str__(self) -> str:
        return str(self.request_id)


SUMMED: Final = (
    "requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens",
    "audio_seconds", "amount",
)  # fmt: skip


class UsageHourQuerySet(TenantQuerySet["UsageHour"]):
    def between(self, start: datetime, end: datetime) -> Self:
        return self.filter(hour__gte=start, hour__lt=end)

    def sums(self) -> UsageSums:
        """All of it in one sum."""
        found = self.aggregate(**{name: Sum(name) for name in SUMMED})
        return UsageSums(**{name: value for name, value in found.items() if value is not None})

    def sums_by(self, group: str) -> dict[str, UsageSums]:
        """The sum of each `group`: model, api_key or project; keys and projects by their id."""
        rows = self.order_by().values_list(group).annotate(*map(Sum, SUMMED))
        return {str(name): UsageSums(*sums) for name, *sums in rows}

    def over_time(self, group: str, *, by_hour: bool = False) -> list[UsageRow]:
        """The sums of each `group` in each day, or hour, of UTC, oldest first."""
        moment = F("hour") if by_hour else TruncDay("hour", tzinfo=UTC)
        rows = self.values_list(moment, group).annotate(*map(Sum, SUMMED)).order_by(moment, group)
        return [UsageRow(when, str(name), UsageSums(*sums)) for when, name, *sums in rows]


class UsageHour(models.Model):
    """The sum of the events of one hour (UTC), by organization, project, key and model.

    Written in the transaction that inserts the events, from the inserted rows alone.
    """

    pk = models.CompositePrimaryKey("organization_id", "hour", "api_key_id", "model")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="+")
    model = models.CharField(max_length=100)
    hour = models.DateTimeField()
    requests = models.PositiveBigIntegerField()
    failed_requests = models.PositiveBigIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    cached_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    audio_seconds = models.PositiveBigIntegerField(default=0)
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    currency = models.CharField(max_length=3)

    objects = UsageHourQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["hour"], name="usage_hour_hour")]

    @override
    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.model}"
