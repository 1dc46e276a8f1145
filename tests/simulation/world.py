"""The organizations of a simulation, and what is known of each request whatever happens to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from random import Random
from typing import Final
from uuid import UUID

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.balances import WALLET, budget_scope, period_start
from billing.ledger import prepaid_top_up
from billing.metering import UsageRecord
from billing.models import Budget, Component, Mode, Outcome, Period, Rate, Terms
from billing.pricing import Prices, prices_by_model
from inference.engines import Usage
from tenants.models import ApiKey, Organization, Project

MODEL: Final = "simulated"
START: Final = datetime(2026, 3, 31, 23, 57, tzinfo=UTC)
"""Three minutes before a month ends: budgets turn over while requests run."""
PRICES: Final = {"input": "0.37", "cached_input": "0.11", "output": "1.93"}
LONGEST: Final = timedelta(minutes=30)
"""No request takes longer, however the clock jumps."""
_NANO: Final = Decimal(10**9)


def rates_make() -> None:
    """Those of MODEL, once."""
    if not Rate.objects.filter(model=MODEL).exists():
        span = DateTimeTZRange(START - timedelta(days=365), None)
        for component, price in PRICES.items():
            Rate.objects.create(
                model=MODEL, component=Component(component), price=Decimal(price), valid=span
            )


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organization. `budget` is its hard one; `credit_nano` what it has paid in, if it does."""

    organization: Organization
    project: Project
    keys: Sequence[ApiKey]
    budget: Budget | None
    credit_nano: int | None

    @property
    def id(self) -> UUID:
        return self.organization.pk

    def scopes(self, now: datetime) -> tuple[str, ...]:
        """The balances that its requests draw on: a budget's in each period where one may end."""
        found = [WALLET] if self.credit_nano is not None else []
        if self.budget:
            found += dict.fromkeys([self.period_scope(now), self.period_scope(now + LONGEST)])
        return tuple(found)

    def period_scope(self, moment: datetime) -> str:
        """Of the budget, in the period that `moment` is in."""
        assert self.budget
        start = period_start(Period(self.budget.period), moment.date())
        return budget_scope(self.budget.pk, start)

    def is_counted(self, scope: str, moment: datetime) -> bool:
        """Whether `scope` pays for what ended at `moment`."""
        return scope == WALLET or scope == self.period_scope(moment)

    def most_nano(self) -> dict[str, int]:
        """What each scope may spend, by the part of its name that lasts."""
        found = {WALLET: self.credit_nano} if self.credit_nano is not None else {}
        if self.budget:
            found[self.budget.pk.hex] = int(self.budget.amount * _NANO)
        return found


def tenants_make(random: Random) -> list[Tenant]:
    """One that pays ahead, one with a budget of a day, one with both, and one without any limit."""
    return [
        _tenant(random, credit=credit, budget=budget, period=period)
        for credit, budget, period in (
            ("0.02", None, Period.DAY),
            (None, "0.01", Period.DAY),
            ("0.03", "0.02", Period.MONTH),
            (None, None, Period.DAY),
        )
    ]


def _tenant(random: Random, *, credit: str | None, budget: str | None, period: Period) -> Tenant:
    pk = uuid_of(random)
    organization = Organization.objects.create(pk=pk, name=f"Simulated {pk.hex}", slug=pk.hex)
    project = Project.objects.create(pk=uuid_of(random), organization=organization, name="One")
    keys = [_key(random, organization, project) for _ in range(2)]
    if credit:
        Terms.objects.create(organization=organization, mode=Mode.PREPAID)
        prepaid_top_up(
            actor=None, organization=organization, amount=Decimal(credit), reference=pk.hex
        )
    kept = None
    if budget:
        kept = Budget.objects.create(
            pk=uuid_of(random), organization=organization, amount=Decimal(budget), period=period,
            thresholds=[50, 100],
        )  # fmt: skip
    return Tenant(organization, project, keys, kept, nano_of(Decimal(credit)) if credit else None)


def _key(random: Random, organization: Organization, project: Project) -> ApiKey:
    pk = uuid_of(random)
    return ApiKey.objects.create(
        pk=pk, organization=organization, project=project, name=pk.hex, digest=pk.bytes,
        pepper_version=1,
    )  # fmt: skip


def uuid_of(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def nano_of(euros: Decimal) -> int:
    return int((euros * _NANO).to_integral_value(ROUND_CEILING))


@dataclass(slots=True)
class Request:
    """`usage` is what its engine will have counted when it ends by itself, `seen` what was last
    written down, `promised` what its client was charged when it got its last byte. It `is_left` by
    a gateway that died and whose files are whole.
    """

    id: UUID
    tenant: Tenant
    key: ApiKey
    admitted_at: datetime
    usage: Usage
    outcome: Outcome
    bound_nano: int
    scopes: tuple[str, ...]
    seen: Usage | None = None
    promised: int | None = None
    record: UsageRecord | None = None
    is_granted: bool = False
    is_over: bool = False
    is_left: bool = False
    written: set[Usage] = field(default_factory=set)

    def record_of(self, usage: Usage, outcome: Outcome, now: datetime) -> UsageRecord:
        return UsageRecord(
            request_id=self.id, organization_id=self.tenant.id,
            project_id=self.tenant.project.pk, api_key_id=self.key.pk, model=MODEL,
            backend="simulated", region="simulated", endpoint="chat/completions", streamed=True,
            outcome=outcome.value, admitted_at=self.admitted_at, occurred_at=now, ttft_ms=1,
            duration_ms=max(0, round((now - self.admitted_at).total_seconds() * 1000)),
            input_tokens=usage.input_tokens, cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
        )  # fmt: skip


class Pricing:
    """What a gateway charges: its prices are those of its snapshot."""

    def __init__(self) -> None:
        self._prices: Prices = prices_by_model(START)[MODEL]

    def nano(self, usage: Usage) -> int:
        return nano_of(
            self._prices.amount(
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                output_tokens=usage.output_tokens,
            )
        )

    def nano_of_record(self, record: UsageRecord) -> int:
        return self.nano(Usage(record.input_tokens, record.cached_tokens, record.output_tokens))
