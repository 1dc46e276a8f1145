"""What a key may use: the limits and budgets that count for it.

Each scope (organization, project, key) counts by itself, of all models and of one. Only a limit of
an organization replaces another: its plan's default of the same kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from django.db.models import Q

from billing.models import (
    LIST_EUR,
    Budget,
    Currency,
    Limit,
    LimitKind,
    Mode,
    Period,
    Terms,
)
from billing.price_books import BOOK_FIELDS, book_chosen

ORGANIZATION: Final = "organization"
NOTHING: Final[Mapping[str, tuple[LimitEntry, ...]]] = MappingProxyType({})


class LimitEntry(NamedTuple):
    """A counter and the most it may count. `scope_name` is what a refusal names."""

    id: str
    kind: LimitKind
    value: int
    scope_name: str


class BudgetEntry(NamedTuple):
    """`amount` in a period, in its organization's currency.

    `kind` is organization, project or key.
    """

    id: UUID
    amount: Decimal
    period: Period
    is_hard: bool
    scope_name: str
    kind: str


class KeyTerms(NamedTuple):
    """All that counts for a key: `limits` for every model, `by_model` beside them.

    Without `has_wallet` no balance bounds what is spent. It pays by `book`, in `currency`. `models`
    are the public ids that its plan is for; None are all.
    """

    limits: tuple[LimitEntry, ...] = ()
    by_model: Mapping[str, tuple[LimitEntry, ...]] = NOTHING
    budgets: tuple[BudgetEntry, ...] = ()
    has_wallet: bool = False
    book: UUID = LIST_EUR
    currency: str = Currency.EUR.value
    models: frozenset[str] | None = None


NO_TERMS: Final = KeyTerms()


class Bought(NamedTuple):
    """How an organization buys, as its terms say; the defaults are those of whoever has none."""

    plan: Mapping[LimitKind, int] = MappingProxyType({})
    has_wallet: bool = False
    book: UUID = LIST_EUR
    currency: str = Currency.EUR.value
    models: frozenset[str] | None = None


class LimitSet(NamedTuple):
    """A limit as it was set for a scope; `model` is empty for all of them."""

    model: str
    kind: LimitKind
    value: int
    scope_name: str


NOTHING_BOUGHT: Final = Bought()


@dataclass(frozen=True, slots=True)
class Rules:
    """What was set, by the id of the organization, project or key that it was set for."""

    bought: Mapping[UUID, Bought]
    limits: Mapping[UUID, Sequence[LimitSet]]
    budgets: Mapping[UUID, Sequence[BudgetEntry]]

    def terms(self, organization: UUID, project: UUID | None, key: UUID | None) -> KeyTerms:
        own = tuple(one for one in (organization, project, key) if one)
        limits = self._of_organization(organization)
        limits += self._of_part("p", project) + self._of_part("k", key)
        by_model = defaultdict[str, list[LimitEntry]](list)
        for model, entry in limits:
            by_model[model].append(entry)
        bought = self.bought.get(organization, NOTHING_BOUGHT)
        return KeyTerms(
            limits=tuple(by_model.pop("", ())),
            by_model={model: tuple(entries) for model, entries in by_model.items()} or NOTHING,
            budgets=tuple(entry for one in own for entry in self.budgets.get(one, ())),
            has_wallet=bought.has_wallet,
            book=bought.book,
            currency=bought.currency,
            models=bought.models,
        )

    def _of_organization(self, organization: UUID) -> list[tuple[str, LimitEntry]]:
        """Its own, and its plan's for the kinds where it has none of all models."""
        own = self.limits.get(organization, ())
        decided = {one.kind for one in own if not one.model}
        plan = self.bought.get(organization, NOTHING_BOUGHT).plan
        left = (
            LimitSet("", kind, value, ORGANIZATION)
            for kind, value in plan.items()
            if kind not in decided
        )
        return [(one.model, _entry("o", one)) for one in (*own, *left)]

    def _of_part(self, letter: str, part: UUID | None) -> list[tuple[str, LimitEntry]]:
        """Of a project or a key."""
        if part is None:
            return []
        scope = f"{letter}:{part.hex}"
        return [(one.model, _entry(scope, one)) for one in self.limits.get(part, ())]


def _entry(scope: str, one: LimitSet) -> LimitEntry:
    name = f"{one.scope_name}, model {one.model}" if one.model else one.scope_name
    return LimitEntry(_of_model(scope, one.model), one.kind, one.value, name)


def _of_model(scope: str, model: str) -> str:
    return f"{scope}:{model}" if model else scope


def counter_of(limit: Limit) -> str:
    """The id under which `limit` is counted, with its kind."""
    scope = "o"
    if part := limit.project_id or limit.api_key_id:
        scope = f"{'p' if limit.project_id else 'k'}:{part.hex}"
    return _of_model(scope, limit.model)


def key_terms(keys: Iterable[tuple[UUID, UUID, UUID]], now: datetime) -> dict[UUID, KeyTerms]:
    """The terms of each (key, organization, project), by key. Three queries.

    Keys for which the same was set share one object.
    """
    rules = rules_read(now)
    decided = rules.limits.keys() | rules.budgets.keys()
    shared = dict[tuple[UUID, UUID | None, UUID | None], KeyTerms]()
    found = dict[UUID, KeyTerms]()
    for key, organization, project in keys:
        own = project if project in decided else None, key if key in decided else None
        scope = (organization, *own)
        if scope not in shared:
            shared[scope] = _plain(rules.terms(*scope))
        found[key] = shared[scope]
    return found


def _plain(terms: KeyTerms) -> KeyTerms:
    return NO_TERMS if terms == NO_TERMS else terms


def rules_read(now: datetime, organization: UUID | None = None) -> Rules:
    """What holds at `now`, for all organizations or for one. Three queries."""
    which = Q(organization=organization) if organization else Q()
    return Rules(_bought(which), _limits(which, now), _budgets(which))


_KINDS: Final = tuple(f"plan__{kind.value}" for kind in LimitKind)


def _bought(which: Q) -> dict[UUID, Bought]:
    fields = ("organization", "mode", "credit_limit", "plan__models", *BOOK_FIELDS, *_KINDS)
    found = dict[UUID, Bought]()
    for organization, mode, credit_limit, models, *rest in Terms.objects.filter(which).values_list(
        *fields
    ):
        book, values = rest[: len(BOOK_FIELDS)], rest[len(BOOK_FIELDS) :]
        named = zip(LimitKind, values, strict=True)
        found[organization] = Bought(
            {kind: value for kind, value in named if value is not None},
            mode == Mode.PREPAID or credit_limit is not None,
            book_chosen(*book),
            book[0],
            frozenset(models) if models else None,
        )
    return found


_SCOPE: Final = ("organization", "project", "api_key", "project__name", "api_key__name")


def _limits(which: Q, now: datetime) -> dict[UUID, list[LimitSet]]:
    found = defaultdict[UUID, list[LimitSet]](list)
    holds = Limit.objects.filter(which).filter(Q(ends_at=None) | Q(ends_at__gt=now))
    for model, kind, value, *scope in holds.order_by("id").values_list(
        "model", "kind", "value", *_SCOPE
    ):
        one, name, _kind = _scope(*scope)
        found[one].append(LimitSet(model, LimitKind(kind), value, name))
    return found


def _budgets(which: Q) -> dict[UUID, list[BudgetEntry]]:
    found = defaultdict[UUID, list[BudgetEntry]](list)
    chosen = Budget.objects.filter(which).order_by("id")
    rows = chosen.values_list("id", "amount", "period", "is_hard", *_SCOPE)
    for budget, amount, period, is_hard, *scope in rows:
        one, name, kind = _scope(*scope)
        found[one].append(BudgetEntry(budget, amount, Period(period), is_hard, name, kind))
    return found


def _scope(
    organization: UUID, project: UUID | None, key: UUID | None, named: str, key_named: str
) -> tuple[UUID, str, str]:
    """The id of what it was set for, its name in a refusal, and what it is."""
    if key:
        return key, f"key {key_named}", "key"
    if project:
        return project, f"project {named}", "project"
    return organization, ORGANIZATION, "organization"
