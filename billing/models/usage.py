"""What each request used, and the sums of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, ClassVar, Final, Self, override

from django.db import models
from django.db.models import F, Q, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from billing.models.prices import PriceBook
from billing.usage import UsageRow, UsageSums
from tenants.models import ApiKey, Organization, Project, TenantQuerySet


class Outcome(models.TextChoices):
    """How a request ended; the ending decides what is billed."""

    COMPLETED = "completed", _("Completed")
    CLIENT_DISCONNECT = "client_disconnect", _("Client left")
    UPSTREAM_ERROR = "upstream_error", _("Backend failed")
    TIMEOUT = "timeout", _("Timed out")
    GATEWAY_CRASH = "gateway_crash", _("Gateway stopped")


BILLED: Final = frozenset({Outcome.COMPLETED, Outcome.CLIENT_DISCONNECT, Outcome.GATEWAY_CRASH})
"""The endings that cost."""
FAILED: Final = frozenset(Outcome) - BILLED
"""Those that a backend is to blame for; they cost nothing."""


class UsageEvent(models.Model):
    """The immutable record of one request. A trigger refuses UPDATE and DELETE.

    `queued_ms` are of `ttft_ms`, `attempts` the backends that were asked. `batch_id` names the
    batch that booked it: the sum of its events is the sum of its transfers.

    `billed_in` is set where its month was closed already: the first day of the month on whose
    invoice it is.

    The table is partitioned by the month of `occurred_at` (UTC, see `billing.partitions`). Its
    foreign keys are not PostgreSQL's: those of `UsageHour`, whose rows the same transaction writes
    from these, are, and cost once a group and not once a request.
    """

    pk = models.CompositePrimaryKey("organization_id", "request_id")
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    request_id = models.UUIDField()
    client_request_id = models.CharField(max_length=128, blank=True)
    project = models.ForeignKey(
        Project, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    api_key = models.ForeignKey(
        ApiKey, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
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
    queued_ms = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=1)
    batch_id = models.UUIDField(null=True)
    billed_in = models.DateField(null=True)
    input_tokens = models.PositiveBigIntegerField()
    cached_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    audio_seconds = models.PositiveBigIntegerField(default=0)
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    currency = models.CharField(max_length=3)
    book = models.ForeignKey(
        PriceBook, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )

    objects = TenantQuerySet["UsageEvent"].as_manager()

    class Meta:
        ordering: ClassVar = ["-occurred_at"]
        indexes: ClassVar = [
            models.Index(
                fields=["organization", "-occurred_at", "-request_id"], name="usage_event_recent"
            ),
            models.Index(fields=["-occurred_at", "-request_id"], name="usage_event_time"),
            models.Index(
                fields=["client_request_id", "organization", "-occurred_at", "-request_id"],
                condition=~Q(client_request_id=""),
                name="usage_event_own_id",
            ),
            models.Index(
                fields=["organization", "billed_in"],
                condition=Q(billed_in__isnull=False),
                name="usage_event_late",
            ),
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


class UsageEventId(models.Model):
    """The requests that have an event. One enters once, whatever time a second record tells.

    A partitioned table cannot say so by itself: its unique keys hold within a partition. Ids begin
    with their time, so new ones enter at the end of the index, and one is found without its owner.
    """

    pk = models.CompositePrimaryKey("request_id", "organization_id")
    organization_id = models.UUIDField()
    request_id = models.UUIDField()

    @override
    def __str__(self) -> str:
        return str(self.request_id)


SUMMED: Final = (
    "requests", "failed_requests", "input_tokens", "cached_tokens", "output_tokens",
    "audio_seconds", "amount",
)  # fmt: skip


class RollupQuerySet[M: models.Model](TenantQuerySet[M]):
    """Sums of usage that can be added up."""

    def sums(self) -> UsageSums:
        """All of it in one sum."""
        found = self.aggregate(**{name: Sum(name) for name in SUMMED})
        return UsageSums(**{name: value for name, value in found.items() if value is not None})

    def sums_by(self, group: str) -> dict[str, UsageSums]:
        """The sum of each `group`: model, api_key or project; keys and projects by their id."""
        rows = self.order_by().values_list(group).annotate(*map(Sum, SUMMED))
        return {str(name): UsageSums(*sums) for name, *sums in rows}

    def _over(self, moment: str, group: str) -> QuerySet[M, tuple[Any, ...]]:
        """Moment, group and sums, oldest first."""
        rows = self.values_list(moment, group).annotate(*map(Sum, SUMMED))
        found: QuerySet[M, tuple[Any, ...]] = rows.order_by(moment, group)
        return found


class UsageHourQuerySet(RollupQuerySet["UsageHour"]):
    def between(self, start: datetime, end: datetime) -> Self:
        return self.filter(hour__gte=start, hour__lt=end)

    def over_time(self, group: str) -> list[UsageRow]:
        """The sums of each `group` in each hour, oldest first."""
        rows = self._over("hour", group)
        return [UsageRow(hour, str(name), UsageSums(*sums)) for hour, name, *sums in rows]


class UsageDayQuerySet(RollupQuerySet["UsageDay"]):
    def within(self, first: date, last: date) -> Self:
        """Of whole days, both ends included."""
        return self.filter(day__gte=first, day__lte=last)

    def over_time(self, group: str) -> list[UsageRow]:
        """The sums of each `group` in each day, oldest first."""
        rows = self._over("day", group)
        return [UsageRow(midnight(day), str(name), UsageSums(*sums)) for day, name, *sums in rows]


def midnight(day: date) -> datetime:
    """Where a day of UTC begins."""
    return datetime.combine(day, time(), UTC)


class Rollup(models.Model):
    """The sum of the events of a span of time, by organization, project, key and model.

    Written in the transaction that inserts the events, from the inserted rows alone.
    """

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, related_name="+")
    api_key = models.ForeignKey(ApiKey, models.PROTECT, related_name="+")
    model = models.CharField(max_length=100)
    requests = models.PositiveBigIntegerField()
    failed_requests = models.PositiveBigIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    cached_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    audio_seconds = models.PositiveBigIntegerField(default=0)
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    currency = models.CharField(max_length=3)

    class Meta:
        abstract = True


class UsageHour(Rollup):
    """Of one hour (UTC)."""

    pk = models.CompositePrimaryKey("organization_id", "hour", "api_key_id", "model")
    hour = models.DateTimeField()

    objects = UsageHourQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["hour"], name="usage_hour_hour")]

    @override
    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.model}"


class UsageDay(Rollup):
    """Of one day (UTC)."""

    pk = models.CompositePrimaryKey("organization_id", "day", "api_key_id", "model")
    day = models.DateField()

    objects = UsageDayQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["day"], name="usage_day_day")]

    @override
    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class BackendHour(models.Model):
    """What one backend was asked in an hour (UTC), beside what its engine counted itself.

    The engine's numbers are the growth of its own counters in that hour, None where nobody saw
    them. `engine_reset` says that the engine started anew within the hour.
    """

    pk = models.CompositePrimaryKey("backend", "hour")
    backend = models.CharField(max_length=100)
    hour = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    engine_input_tokens = models.PositiveBigIntegerField(null=True)
    engine_output_tokens = models.PositiveBigIntegerField(null=True)
    engine_reset = models.BooleanField(default=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["hour"], name="backend_hour_hour")]

    @override
    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.backend}"


class BudgetSpent(models.Model):
    """What was spent of a budget in the period that starts at `period_start`.

    Without a row it is the sum of the period's `UsageDay`; the first usage makes one from that.
    """

    pk = models.CompositePrimaryKey("budget_id", "period_start")
    budget = models.ForeignKey("billing.Budget", models.CASCADE, related_name="+")
    period_start = models.DateField()
    spent = models.DecimalField(max_digits=38, decimal_places=12)

    @override
    def __str__(self) -> str:
        return f"{self.spent} since {self.period_start}"
