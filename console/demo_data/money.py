"""How the organizations of the demo data buy, what they may use, and the books of what they did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncMonth

from billing.ledger import prepaid_top_up, promo_grant, usage_post
from billing.limiting import money_changed
from billing.models import Budget, Limit, LimitKind, Mode, Plan, Terms, UsageDay
from console.demo_data.cast import Cast
from console.demo_data.fleet import OFFERS
from console.demo_data.traffic import Batch
from tenants.models import ApiKey, Organization

LARGEST: Final = 20
"""So many have a contract of their own."""
WITH_BUDGET: Final = 120
"""So many of the largest organizations have a budget, WITH_LIMIT more than their plan."""
WITH_LIMIT: Final = 30
WITH_PROJECT_BUDGET: Final = 10
THRESHOLDS: Final = (50, 80, 100)
PROMO_DAYS: Final = 60
ALERTS: Final = (Path(__file__).parent / "alerts.sql").read_text()


class Money:
    """Of a cast whose traffic is made, up to `until`."""

    def __init__(self, cast: Cast, seed: int, until: datetime) -> None:
        self._cast, self._until = cast, until
        self._random = Random(f"{seed} money")  # noqa: S311 - the same every time

    def make(self, batches: Sequence[Batch]) -> None:
        """`batches` are the usage of each day, in their order."""
        self._terms_make(batches)
        for batch in batches:
            usage_post(batch.id, batch.costs, batch.moment)
        self._limits_make()
        self._budgets_make()
        money_changed(*self._cast.organizations)

    def _terms_make(self, batches: Sequence[Batch]) -> None:
        """A third pays in advance, and enough for what it used; few have a credit limit."""
        plans = {plan.slug: plan for plan in Plan.objects.all()}
        totals = _totals(batches)
        terms = []
        for at, organization in enumerate(self._cast.organizations):
            plan = plans[_plan_of(at)]
            spent = totals.get(organization.pk, Decimal(0))
            terms.append(self._terms(organization, plan, at, spent))
        Terms.objects.bulk_create(terms)

    def _terms(self, organization: Organization, plan: Plan, at: int, spent: Decimal) -> Terms:
        if at % 10 == 1:
            self._promo(organization)
        if plan.mode == Mode.PREPAID:
            amount = _ceiling(spent * self._share(102, 160), 10)
            prepaid_top_up(
                actor=None, organization=organization, amount=amount,
                reference=f"demo-{organization.slug}",
            )  # fmt: skip
            return Terms(organization=organization, plan=plan, mode=Mode.PREPAID)
        limit = _ceiling(spent * 2, 100) if at % 5 == 0 else None
        mode = Mode.POSTPAID
        return Terms(organization=organization, plan=plan, mode=mode, credit_limit=limit)

    def _promo(self, organization: Organization) -> None:
        promo_grant(
            actor=None,
            organization=organization,
            amount=Decimal(self._random.randrange(5, 50)),
            expires_at=self._until + timedelta(days=PROMO_DAYS),
            reason="Welcome",
            reference=f"demo-{organization.pk.hex}",
        )

    def _limits_make(self) -> None:
        """More than its plan's for some organizations, and less for a project and a key of each."""
        Limit.objects.bulk_create(
            limit
            for at, organization in enumerate(self._cast.organizations[:WITH_LIMIT])
            for limit in self._limits(organization, at)
        )

    def _limits(self, organization: Organization, at: int) -> Iterator[Limit]:
        key = _first_key(organization)
        model = OFFERS[at % len(OFFERS)].public_id
        ends_at = self._until + timedelta(days=at + 5) if at % 2 else None
        yield Limit(
            organization=organization, kind=LimitKind.REQUESTS_MINUTE, value=9000 + 500 * at,
            reason="As agreed", ends_at=ends_at,
        )  # fmt: skip
        yield Limit(
            organization=organization, project=key.project, kind=LimitKind.TOKENS_MINUTE,
            value=400_000,
        )  # fmt: skip
        yield Limit(
            organization=organization, api_key=key, model=model, kind=LimitKind.REQUESTS_DAY,
            value=20_000,
        )  # fmt: skip

    def _budgets_make(self) -> None:
        budgets = [
            budget
            for at, organization in enumerate(self._cast.organizations[:WITH_BUDGET])
            for budget in self._budgets(organization, at)
        ]
        Budget.objects.bulk_create(budgets)
        with connection.cursor() as cursor:
            cursor.execute(ALERTS, {"until": self._until, "budgets": [one.pk for one in budgets]})

    def _budgets(self, organization: Organization, at: int) -> Iterator[Budget]:
        """A hard one was never passed, a soft one often. The ten largest have one of a project."""
        used = UsageDay.objects.for_organization(organization)
        is_hard = at % 2 == 0
        share = self._share(101, 140) if is_hard else self._share(60, 130)
        yield self._budget(used, share, organization=organization, is_hard=is_hard)
        if at < WITH_PROJECT_BUDGET:
            key = _first_key(organization)
            share = self._share(50, 120)
            yield self._budget(
                used.filter(project=key.project), share,
                organization=organization, project=key.project, is_hard=False,
            )  # fmt: skip

    def _budget(self, used: QuerySet[UsageDay], share: Decimal, **of: Any) -> Budget:
        """Of `share` times the most that was `used` in a month."""
        months = used.annotate(month=TruncMonth("day")).values("month").order_by()
        most = max((row["sum"] for row in months.annotate(sum=Sum("amount"))), default=Decimal(0))
        return Budget(amount=_round_up(most * share), thresholds=list(THRESHOLDS), **of)

    def _share(self, least: int, most: int) -> Decimal:
        """From `least` to `most` percent."""
        return Decimal(self._random.randrange(least, most)) / 100


def _totals(batches: Sequence[Batch]) -> dict[UUID, Decimal]:
    totals = defaultdict[UUID, Decimal](Decimal)
    for batch in batches:
        for organization, costs in batch.costs.items():
            totals[organization] += sum(costs.values(), Decimal(0))
    return totals


def _first_key(organization: Organization) -> ApiKey:
    keys = ApiKey.objects.for_organization(organization).select_related("project")
    return keys.order_by("id")[0]


def _ceiling(amount: Decimal, unit: int | Decimal) -> Decimal:
    """The next multiple of `unit` EUR above `amount`."""
    return (amount // unit + 1) * unit


def _round_up(amount: Decimal) -> Decimal:
    """To two digits, as people choose amounts, and to cents at least."""
    return _ceiling(amount, Decimal(1).scaleb(max(-2, amount.adjusted() - 1)))


def _plan_of(at: int) -> str:
    """A third pays in advance; of these the smallest have but tried it."""
    if at % 3 == 2:
        return "free" if at > 200 else "build"
    return "enterprise" if at < LARGEST else "scale"
