"""Budgets: what may be spent in a day or a month, what is, and what it will be by the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger import books_lock
from billing.limiting import money_changed, scope_check
from billing.models import Budget, BudgetAlert, Period, UsageDay
from billing.price_books import currency_of
from billing.webhooks import secret_make, url_check
from tenants import audit
from tenants.models import ApiKey, Organization, Project, User
from tenants.sealing import seal

THRESHOLDS: Final = (50, 80, 100)
MOST: Final = Decimal(10**9)
MAX_EMAILS: Final = 10
_FORESEEN: Final = 20
"""Before a twentieth of a period is over its spending says nothing of the rest."""


class BudgetSet(NamedTuple):
    """`webhook_secret` is shown once; empty where there is none or it is the same as before."""

    budget: Budget
    webhook_secret: str


@transaction.atomic
def budget_set(
    *,
    actor: User | None,
    organization: Organization,
    amount: Decimal,
    period: Period = Period.MONTH,
    project: Project | None = None,
    api_key: ApiKey | None = None,
    currency: str = "",
    is_hard: bool = True,
    thresholds: Iterable[int] = THRESHOLDS,
    emails: Iterable[str] = (),
    webhook_url: str = "",
) -> BudgetSet:
    """Let the organization, or one of its projects or keys, spend `amount` in each `period`.

    One of the same scope and period is replaced; one under what is already spent stops at once.
    It is in the organization's currency, and another one is refused. ValidationError names the
    field and why.
    """
    scope_check(organization, project, api_key)
    thresholds, emails = sorted(set(thresholds)), list(dict.fromkeys(emails))
    errors = _wrong(amount, thresholds, emails, webhook_url)
    own = currency_of(organization.pk)
    if currency not in {"", own}:
        words = {"currency": own}
        errors["currency"] = (
            _("Usage is priced in %(currency)s, so a budget is in %(currency)s too.") % words
        )
    if errors:
        raise ValidationError(errors)
    books_lock([organization.pk])
    scope = {"organization": organization, "project": project, "api_key": api_key}
    mine = Budget.objects.select_for_update().filter(**scope, period=period)
    budget = mine.first() or Budget(**scope, period=period, created_by=actor)
    secret = secret_make() if webhook_url and webhook_url != budget.webhook_url else ""
    if secret or not webhook_url:
        budget.sealed_webhook_secret = seal(secret)
    budget.amount, budget.currency, budget.is_hard = amount, own, is_hard
    budget.thresholds, budget.emails, budget.webhook_url = thresholds, emails, webhook_url
    budget.save()
    _told(actor, "budget.set", budget)
    return BudgetSet(budget, secret)


@transaction.atomic
def budget_remove(*, actor: User | None, budget: Budget) -> None:
    """Without it nothing of its scope and period is refused; its alerts go with it."""
    books_lock([budget.organization_id])  # no usage is booked on it meanwhile
    _told(actor, "budget.remove", budget)
    budget.delete()


def _told(actor: User | None, action: str, budget: Budget) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=budget,
        organization=budget.organization,
        project=budget.project and budget.project.name,
        api_key=budget.api_key and budget.api_key.name,
        amount=str(budget.amount),
        period=budget.period,
        is_hard=budget.is_hard,
        thresholds=budget.thresholds,
    )
    money_changed(budget.organization)


def _wrong(
    amount: Decimal, thresholds: Sequence[int], emails: Sequence[str], webhook_url: str
) -> dict[str, str]:
    errors = dict[str, str]()
    if not 0 < amount <= MOST:
        errors["amount"] = _("More than zero and at most a billion. To stop all, revoke the keys.")
    elif amount != round(amount, 2):
        errors["amount"] = _("Whole cents, please: two decimals at most.")
    if not thresholds or not all(1 <= one <= 100 for one in thresholds):
        errors["thresholds"] = _("Whole percents from 1 to 100, at least one.")
    if bad := [one for one in emails if not _is_email(one)]:
        errors["emails"] = _("This is no address: %(bad)s.") % {"bad": bad[0]}
    elif len(emails) > MAX_EMAILS:
        errors["emails"] = _("At most %(most)d addresses.") % {"most": MAX_EMAILS}
    if webhook_url and (why := url_check(webhook_url)):
        errors["webhook_url"] = why
    return errors


def _is_email(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return True


class Span(NamedTuple):
    """A period in UTC: from `start` up to `end`."""

    start: datetime
    end: datetime

    def whole_of(self, spent: Decimal, now: datetime) -> Decimal | None:
        """What `spent` until `now` becomes by the end at the same pace; None when it is early."""
        second = timedelta(seconds=1)
        gone, whole = (now - self.start) // second, (self.end - self.start) // second
        return spent * whole / gone if gone * _FORESEEN >= whole else None


def span_of(period: Period, now: datetime) -> Span:
    """The day or the calendar month that `now` is in."""
    day = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    if period == Period.DAY:
        return Span(day, day + timedelta(days=1))
    start = day.replace(day=1)
    return Span(start, (start + timedelta(days=32)).replace(day=1))


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget in its present period. `forecast` is EUR by its end, None when it is too early."""

    budget: Budget
    span: Span
    spent: Decimal
    forecast: Decimal | None

    @property
    def left(self) -> Decimal:
        return max(self.budget.amount - self.spent, Decimal(0))

    @property
    def is_used_up(self) -> bool:
        return self.spent >= self.budget.amount

    @property
    def will_be_used_up(self) -> bool:
        return not self.is_used_up and (self.forecast or 0) > self.budget.amount


def budgets_read(organization: Organization, now: datetime | None = None) -> list[BudgetUse]:
    """Every budget of `organization` with what is booked of it. Two queries."""
    now = now or timezone.now()
    budgets = Budget.objects.for_organization(organization).select_related("project", "api_key")
    spent = _Spent(organization, now)
    return [_use(budget, spent, now) for budget in budgets]


def budget_use(budget: Budget, now: datetime) -> BudgetUse:
    """`budget` with what is booked of it. One query."""
    return _use(budget, _Spent(budget.organization, now), now)


def _use(budget: Budget, spent: _Spent, now: datetime) -> BudgetUse:
    span = span_of(Period(budget.period), now)
    booked = spent.of(budget)
    return BudgetUse(budget, span, booked, span.whole_of(booked, now))


class _Spent:
    """What was spent this month and today, of each key: read once."""

    def __init__(self, organization: Organization, now: datetime) -> None:
        month, today = (span_of(period, now).start.date() for period in (Period.MONTH, Period.DAY))
        days = UsageDay.objects.for_organization(organization).filter(day__gte=month)
        rows = days.order_by().values_list("project_id", "api_key_id")
        amounts = {"month": Sum("amount"), "today": Sum("amount", filter=Q(day=today))}
        self._rows = list(rows.annotate(**amounts))

    def of(self, budget: Budget) -> Decimal:
        at = 3 if budget.period == Period.DAY else 2
        mine = (row for row in self._rows if _counts(budget, row[0], row[1]))
        return sum((row[at] or Decimal(0) for row in mine), Decimal(0))


def _counts(budget: Budget, project: object, api_key: object) -> bool:
    """Whether what a key of a project spends is of this budget."""
    if budget.api_key_id:
        return api_key == budget.api_key_id
    return budget.project_id in {None, project}


def alerts_unseen(organization: Organization) -> list[BudgetAlert]:
    """What nobody of the organization has put aside yet, newest first."""
    found = BudgetAlert.objects.for_organization(organization).filter(seen_at=None)
    return list(found.select_related("budget__project", "budget__api_key")[:20])


def alerts_see(*, organization: Organization) -> None:
    """Put aside every alert there is now."""
    found = BudgetAlert.objects.for_organization(organization).filter(seen_at=None)
    found.update(seen_at=timezone.now())
