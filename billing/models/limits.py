"""What may be used: plans, limits, budgets, and the alerts of a budget."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, override

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing.models.prices import Currency, PriceBook
from tenants.models import ApiKey, Organization, Project, TenantQuerySet, User, new_id


class LimitKind(models.TextChoices):
    REQUESTS_MINUTE = "rpm", _("Requests per minute")
    TOKENS_MINUTE = "tpm", _("Tokens per minute")
    REQUESTS_DAY = "rpd", _("Requests per day")
    STREAMS = "streams", _("Concurrent requests")


class Mode(models.TextChoices):
    PREPAID = "prepaid", _("Prepaid")
    POSTPAID = "postpaid", _("Postpaid")


class Plan(models.Model):
    """What organizations on it may use by default (None is no limit), and how they buy.

    `credit_limit` and `promo_monthly` are in the currency of its book, EUR without one. The promo
    is given each month and expires with it. `models` are public ids, none are all. Customers may
    choose it themselves if it is `self_service`; `rank` orders plans from small to large.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    name = models.CharField(_("name"), max_length=100)
    rpm = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    tpm = models.PositiveBigIntegerField(_("tokens per minute"), null=True, blank=True)
    rpd = models.PositiveIntegerField(_("requests per day"), null=True, blank=True)
    streams = models.PositiveIntegerField(_("concurrent requests"), null=True, blank=True)
    book = models.ForeignKey(
        PriceBook, models.PROTECT, null=True, blank=True, related_name="plans",
        verbose_name=_("price book"),
    )  # fmt: skip
    mode = models.CharField(_("payment"), max_length=10, choices=Mode, default=Mode.PREPAID)
    credit_limit = models.DecimalField(
        _("credit limit"), max_digits=12, decimal_places=2, null=True, blank=True,
        validators=[MinValueValidator(0)],
    )  # fmt: skip
    promo_monthly = models.DecimalField(
        _("free credit each month"), max_digits=12, decimal_places=2, default=Decimal(0),
        validators=[MinValueValidator(0)],
    )  # fmt: skip
    support = models.CharField(_("support"), max_length=200, blank=True)
    is_public = models.BooleanField(_("shown to everybody"), default=False)
    rank = models.PositiveSmallIntegerField(_("rank"), default=0)
    self_service = models.BooleanField(_("customers may choose it"), default=False)
    # Last: below, the name is no longer that of the module.
    models = ArrayField(
        models.CharField(max_length=100), verbose_name=_("models"), default=list, blank=True
    )

    class Meta:
        ordering: ClassVar = ["rank", "name"]

    @override
    def __str__(self) -> str:
        return self.name

    @property
    def currency(self) -> Currency:
        return Currency(self.book.currency) if self.book else Currency.EUR


class Terms(models.Model):
    """How an organization buys. Without a row: no plan, postpaid in EUR, no credit limit.

    Past `credit_limit` of what is unbilled and unpaid it is refused; None is no limit. `currency`
    is that of all its money and stays once its books have an entry. A `book` of its own goes
    before its plan's.
    """

    organization = models.OneToOneField(Organization, models.PROTECT, primary_key=True)
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="terms")
    mode = models.CharField(_("payment"), max_length=10, choices=Mode, default=Mode.POSTPAID)
    credit_limit = models.DecimalField(
        _("credit limit"), max_digits=12, decimal_places=2, null=True, blank=True,
        validators=[MinValueValidator(0)],
    )  # fmt: skip
    currency = models.CharField(_("currency"), max_length=3, choices=Currency, default=Currency.EUR)
    book = models.ForeignKey(
        PriceBook, models.PROTECT, null=True, blank=True, related_name="terms",
        verbose_name=_("price book"),
    )  # fmt: skip
    plan_since = models.DateTimeField(null=True, editable=False)

    objects = TenantQuerySet["Terms"].as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(currency__in=Currency.values), name="terms_currency_known"
            )
        ]

    @override
    def __str__(self) -> str:
        return f"{self.organization} {self.get_mode_display()}"


class Limit(models.Model):
    """The most that one organization, project or key may use, of all models or of one.

    An organization's own (no project, no key) goes before its plan's until `ends_at`, and only
    operators set it. One of a project or key is counted by itself, beside those above it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="limits")
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="limits"
    )
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="limits"
    )
    model = models.CharField(_("model"), max_length=100, blank=True)
    kind = models.CharField(_("limit"), max_length=10, choices=LimitKind)
    value = models.PositiveBigIntegerField(_("at most"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True)
    set_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Limit"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "project", "api_key", "model", "kind"],
                name="limit_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(project=None) | Q(api_key=None), name="limit_of_project_or_key"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.get_kind_display()} ≤ {self.value}"


class Period(models.TextChoices):
    """Both are of UTC, from midnight."""

    DAY = "day", _("Day")
    MONTH = "month", _("Month")


class Budget(models.Model):
    """The most EUR that an organization, a project or a key may spend in a period.

    A hard one stops requests when it is used up, a soft one only tells. It tells once per period
    and threshold (percent).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="budgets")
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    period = models.CharField(_("period"), max_length=10, choices=Period, default=Period.MONTH)
    amount = models.DecimalField(_("amount"), max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, default="EUR")
    is_hard = models.BooleanField(_("stop requests when it is used up"), default=True)
    thresholds = ArrayField(models.PositiveSmallIntegerField(), default=list)
    emails = ArrayField(models.EmailField(), verbose_name=_("mail to"), default=list, blank=True)
    webhook_url = models.URLField(_("webhook"), max_length=500, blank=True)
    sealed_webhook_secret = models.BinaryField(default=bytes, editable=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["Budget"].as_manager()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "project", "api_key", "period"],
                name="budget_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(project=None) | Q(api_key=None), name="budget_of_project_or_key"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="budget_amount_positive"),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.amount} {self.currency} / {self.get_period_display()}"


class BudgetAlert(models.Model):
    """That a budget has reached a threshold in a period: made once, with the usage itself.

    `billing.alerts` tells people: by each channel once, and of what failed again at `next_at`.
    `told_at` is when nothing is left to do, `failure` why something was given up.
    """

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="alerts")
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+")
    period_start = models.DateField()
    threshold = models.PositiveSmallIntegerField()
    spent = models.DecimalField(max_digits=38, decimal_places=12)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    mailed_at = models.DateTimeField(null=True)
    hooked_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_at = models.DateTimeField(null=True)
    failure = models.CharField(max_length=200, blank=True, db_default="")
    told_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)

    objects = TenantQuerySet["BudgetAlert"].as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["budget", "period_start", "threshold"], name="budget_alert_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_at"], condition=Q(told_at=None), name="budget_alert_untold"),
            models.Index(
                fields=["organization"], condition=Q(seen_at=None), name="budget_alert_unseen"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.threshold} % of {self.budget_id}"
