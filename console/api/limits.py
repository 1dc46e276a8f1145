"""What a project and the organization may use and spend."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from msgspec import UNSET, Meta, Struct, UnsetType

from billing import limiting
from billing.budgets import budget_remove, budget_set
from billing.models import Budget as BudgetRow
from billing.models import Limit, LimitKind, Period
from console.api.callers import Caller
from console.api.keys import Deleted
from console.api.operations import OrganizationView, operation
from console.api.paging import Limit as RowsLimit
from console.api.paging import Page, Paged, page_made, page_of
from console.api.projects import project_of, seconds
from console.api.reading import Asked, Sent, Text
from console.api.words import CurrencyName, PeriodName
from inference.gateway.errors import InvalidRequest
from inference.models import Model
from tenants.models import ApiKey, Project

FIELDS = {
    "max_requests_per_1_minute": LimitKind.REQUESTS_MINUTE,
    "max_tokens_per_1_minute": LimitKind.TOKENS_MINUTE,
    "max_requests_per_1_day": LimitKind.REQUESTS_DAY,
    "max_concurrent_requests": LimitKind.STREAMS,
}
PREFIX = "rl-"
ALL_MODELS = "*"

AtMost = Annotated[int, Meta(ge=1, le=limiting.MOST)]
Cents = Annotated[int, Meta(ge=1, le=10**11, description="Hundredths of the currency")]
Money = Annotated[Decimal, Meta(description="In your currency, two decimals at most")]


class RateLimit(Struct, kw_only=True):
    """Of one model, or with the model `*` of all of them together. None is no limit of its own."""

    object: Literal["project.rate_limit"] = "project.rate_limit"
    id: str
    model: str
    max_requests_per_1_minute: int | None
    max_tokens_per_1_minute: int | None
    max_requests_per_1_day: int | None
    max_concurrent_requests: int | None


class RateLimitsAsked(Asked, kw_only=True):
    limit: RowsLimit = 100
    after: Text | None = None
    before: Text | None = None


class RateLimitChange(Sent, kw_only=True):
    """What is left out stays, null takes the limit away."""

    max_requests_per_1_minute: AtMost | UnsetType | None = UNSET
    max_tokens_per_1_minute: AtMost | UnsetType | None = UNSET
    max_requests_per_1_day: AtMost | UnsetType | None = UNSET
    max_concurrent_requests: AtMost | UnsetType | None = UNSET


class Enforcement(Struct):
    status: Literal["enforcing", "inactive"]


class SpendLimit(Struct, kw_only=True):
    """`threshold_amount` in cents: past it requests are refused until the month is over."""

    object: str
    threshold_amount: int
    currency: str
    interval: Literal["month"] = "month"
    enforcement: Enforcement


class SpendLimitNew(Sent, kw_only=True):
    threshold_amount: Cents
    currency: CurrencyName
    interval: Literal["month"]


class SpendLimitDeleted(Struct, kw_only=True):
    object: str
    deleted: bool = True


class Budget(Struct, kw_only=True):
    """Of the organization, or of one of its projects or keys. A hard one refuses, others tell.

    `webhook_secret` is in the answer that made the webhook.
    """

    object: Literal["organization.budget"] = "organization.budget"
    id: str
    amount: str
    currency: str
    period: str
    is_hard: bool
    project_id: str | None
    api_key_id: str | None
    thresholds: list[int]
    emails: list[str]
    webhook_url: str
    created_at: int
    webhook_secret: str | UnsetType = UNSET


class BudgetNew(Sent, kw_only=True):
    """One of the same scope and period is replaced."""

    amount: Money
    period: PeriodName = "month"
    is_hard: bool = True
    project_id: UUID | None = None
    api_key_id: UUID | None = None
    thresholds: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=100)], ...], Meta(min_length=1, max_length=20)
    ] = (50, 80, 100)
    emails: Annotated[tuple[Text, ...], Meta(max_length=10)] = ()
    webhook_url: Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""


def _limits_of(project: Project) -> dict[str, dict[LimitKind, Limit]]:
    """The limits of a project by model, "" for all of them together."""
    found = defaultdict[str, dict[LimitKind, Limit]](dict)
    for one in Limit.objects.for_organization(project.organization).filter(project=project):
        found[one.model][LimitKind(one.kind)] = one
    return found


def _shown(model: str, limits: dict[LimitKind, Limit]) -> RateLimit:
    values: dict[str, Any] = {
        name: limits[kind].value if kind in limits else None for name, kind in FIELDS.items()
    }
    return RateLimit(id=f"{PREFIX}{model or ALL_MODELS}", model=model or ALL_MODELS, **values)


def _models(caller: Caller) -> list[str]:
    offered = Model.objects.enabled().for_organization(caller.organization)
    return list(offered.values_list("public_id", flat=True))


class RateLimitsView(OrganizationView):
    route = "project_rate_limits"

    @operation
    def get(self, caller: Caller, project: UUID, query: RateLimitsAsked) -> Page[RateLimit]:
        """List the rate limits of a project: of all models together, and of each."""
        limits = _limits_of(project_of(caller, project))
        names = sorted({"", *_models(caller), *limits})
        rows = [_shown(name, limits.get(name, {})) for name in names]
        if query.after is not None:
            rows = [row for row in rows if row.id > query.after]
        if query.before is not None:
            rows = [row for row in rows if row.id < query.before][-query.limit - 1 :]
        has_more = len(rows) > query.limit
        turned = query.before is not None and query.after is None
        kept = rows[-query.limit :] if turned else rows[: query.limit]
        return page_made(kept, has_more=has_more)


class RateLimitView(OrganizationView):
    route = "project_rate_limit"

    @operation
    def post(
        self, caller: Caller, project: UUID, rate_limit: str, body: RateLimitChange
    ) -> RateLimit:
        """Set the rate limits of a project for one model, or with `rl-*` for all together."""
        row = project_of(caller, project)
        limits, model = _limits_of(row), _model(caller, rate_limit)
        with transaction.atomic():
            for name, kind in FIELDS.items():
                _set(caller, row, model, kind, getattr(body, name), limits[model].get(kind))
        return _shown(model, _limits_of(row)[model])


def _model(caller: Caller, rate_limit: str) -> str:
    """The model of an id; Http404 for none that the organization may know of."""
    name = rate_limit.removeprefix(PREFIX)
    if name == ALL_MODELS:
        return ""
    if not rate_limit.startswith(PREFIX) or name not in _models(caller):
        raise Http404
    return name


def _set(
    caller: Caller,
    project: Project,
    model: str,
    kind: LimitKind,
    value: int | UnsetType | None,
    there: Limit | None,
) -> None:
    if value is None and there:
        limiting.limit_remove(actor=caller.user, limit=there)
    elif isinstance(value, int):
        limiting.limit_set(
            actor=caller.user,
            organization=caller.organization,
            project=project,
            model=model,
            kind=kind,
            value=value,
        )


class SpendLimitView(OrganizationView):
    """Of the organization; with `project` in the path, of a project."""

    route = "spend_limit"

    @operation
    def get(self, caller: Caller) -> SpendLimit:
        """What may be spent in a month."""
        return _spend_limit(_monthly(caller, None))

    @operation
    def post(self, caller: Caller, body: SpendLimitNew) -> SpendLimit:
        """Set what may be spent in a month."""
        return _spend_limit_set(caller, None, body)

    @operation
    def delete(self, caller: Caller) -> SpendLimitDeleted:
        """Let any amount be spent in a month."""
        budget_remove(actor=caller.user, budget=_monthly(caller, None))
        return SpendLimitDeleted(object="organization.spend_limit.deleted")


class ProjectSpendLimitView(OrganizationView):
    route = "project_spend_limit"

    @operation
    def get(self, caller: Caller, project: UUID) -> SpendLimit:
        """What a project may spend in a month."""
        return _spend_limit(_monthly(caller, project_of(caller, project)))

    @operation
    def post(self, caller: Caller, project: UUID, body: SpendLimitNew) -> SpendLimit:
        """Set what a project may spend in a month."""
        return _spend_limit_set(caller, project_of(caller, project), body)

    @operation
    def delete(self, caller: Caller, project: UUID) -> SpendLimitDeleted:
        """Let a project spend any amount in a month."""
        row = _monthly(caller, project_of(caller, project))
        budget_remove(actor=caller.user, budget=row)
        return SpendLimitDeleted(object="project.spend_limit.deleted")


def _budgets(caller: Caller) -> QuerySet[BudgetRow]:
    found = BudgetRow.objects.for_organization(caller.organization)
    return found.select_related("organization", "project", "api_key")


def _monthly(caller: Caller, project: Project | None) -> BudgetRow:
    """The hard budget of a month; Http404 without one."""
    scope = {"project": project, "api_key": None, "period": Period.MONTH, "is_hard": True}
    return get_object_or_404(_budgets(caller), **scope)


def _spend_limit_set(caller: Caller, project: Project | None, given: SpendLimitNew) -> SpendLimit:
    """Who was told of the budget of this scope before is told still."""
    scope = {"project": project, "api_key": None, "period": Period.MONTH}
    before = _budgets(caller).filter(**scope).first() or BudgetRow(thresholds=[50, 80, 100])
    made = budget_set(
        actor=caller.user,
        organization=caller.organization,
        project=project,
        amount=Decimal(given.threshold_amount) / 100,
        currency=given.currency,
        thresholds=before.thresholds,
        emails=before.emails,
        webhook_url=before.webhook_url,
    )
    return _spend_limit(made.budget)


def _spend_limit(row: BudgetRow) -> SpendLimit:
    return SpendLimit(
        object="project.spend_limit" if row.project_id else "organization.spend_limit",
        threshold_amount=int(row.amount * 100),
        currency=row.currency,
        enforcement=Enforcement("enforcing"),
    )


class BudgetsView(OrganizationView):
    route = "budgets"

    @operation
    def get(self, caller: Caller, query: Paged) -> Page[Budget]:
        """List the budgets of the organization, its projects and its keys."""
        return page_of(_budgets(caller), query, _budget_shown)

    @operation
    def post(self, caller: Caller, body: BudgetNew) -> Budget:
        """Set a budget of the organization, of a project or of a key."""
        if not body.amount.is_finite():
            raise InvalidRequest("An amount is a number.", param="amount")
        key = body.api_key_id and _key(caller, body.api_key_id)
        made = budget_set(
            actor=caller.user,
            organization=caller.organization,
            amount=body.amount,
            period=Period(body.period),
            project=project_of(caller, body.project_id) if body.project_id else None,
            api_key=key or None,
            is_hard=body.is_hard,
            thresholds=body.thresholds,
            emails=body.emails,
            webhook_url=body.webhook_url,
        )
        return _budget_shown(made.budget, made.webhook_secret or UNSET)


class BudgetView(OrganizationView):
    route = "budget"

    @operation
    def get(self, caller: Caller, budget: UUID) -> Budget:
        """One budget."""
        return _budget_shown(get_object_or_404(_budgets(caller), pk=budget))

    @operation
    def delete(self, caller: Caller, budget: UUID) -> Deleted:
        """Take a budget away."""
        budget_remove(actor=caller.user, budget=get_object_or_404(_budgets(caller), pk=budget))
        return Deleted(object="organization.budget.deleted", id=str(budget))


def _key(caller: Caller, key: UUID) -> ApiKey:
    return get_object_or_404(ApiKey.objects.for_organization(caller.organization).listed(), pk=key)


def _budget_shown(row: BudgetRow, secret: str | UnsetType = UNSET) -> Budget:
    return Budget(
        id=str(row.pk),
        amount=f"{row.amount:.2f}",
        currency=row.currency,
        period=row.period,
        is_hard=row.is_hard,
        project_id=str(row.project_id) if row.project_id else None,
        api_key_id=str(row.api_key_id) if row.api_key_id else None,
        thresholds=row.thresholds,
        emails=row.emails,
        webhook_url=row.webhook_url,
        created_at=seconds(row.created_at),
        webhook_secret=secret,
    )
