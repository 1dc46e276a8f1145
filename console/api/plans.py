"""For operators: plans, and by which one each organization buys."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import transaction
from django.shortcuts import get_object_or_404
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from billing import limiting, plans
from billing.models import Currency, Mode
from billing.models import Plan as PlanRow
from billing.models import PriceBook as BookRow
from billing.models import Terms as TermsRow
from console.api.callers import Operator
from console.api.fleet import Id
from console.api.operations import PlatformView, operation
from console.api.paging import Page, Paged, page_of
from console.api.platform import Slug
from console.api.projects import seconds_or_none
from console.api.reading import Name, Sent, Text
from console.api.words import CurrencyName, ModeName
from inference.gateway.errors import InvalidRequest
from tenants.models import Organization

AtMost = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Many = Annotated[int, Meta(ge=1, le=limiting.MOST)]
Money = Annotated[Decimal, Meta(description="In the plan’s currency, two decimals at most")]


class Plan(Struct, kw_only=True):
    """What is null of its limits is not limited. `models` are public ids; none are all."""

    object: Literal["platform.plan"] = "platform.plan"
    id: str
    slug: str
    name: str
    rpm: int | None
    tpm: int | None
    rpd: int | None
    streams: int | None
    price_book_id: str | None
    currency: str
    mode: str
    credit_limit: str | None
    promo_monthly: str
    models: list[str]
    support: str
    is_public: bool
    rank: int
    self_service: bool


class PlanFacts(Sent, kw_only=True):
    """What a plan is, all of it: what is left out is as shown here."""

    name: Name
    rpm: AtMost | None = None
    tpm: Many | None = None
    rpd: AtMost | None = None
    streams: AtMost | None = None
    price_book_id: UUID | None = None
    mode: ModeName = "prepaid"
    credit_limit: Money | None = None
    promo_monthly: Money = Decimal(0)
    models: Annotated[tuple[Id, ...], Meta(max_length=200)] = ()
    support: Text = ""
    is_public: bool = False
    rank: Annotated[int, Meta(ge=0, le=1000)] = 0
    self_service: bool = False


class PlanNew(PlanFacts, kw_only=True):
    slug: Slug


class Terms(Struct, kw_only=True):
    """How an organization buys. `credit_limit` null is no limit, or none at all when prepaid."""

    object: Literal["platform.terms"] = "platform.terms"
    organization_id: str
    plan_id: str | None
    plan_since: int | None
    mode: str
    credit_limit: str | None
    currency: str
    price_book_id: str | None


class TermsChange(Sent, kw_only=True):
    """What is left out stays. A plan sets payment and credit limit, unless one is told with it.

    `price_book_id` null is the plan's book, or the list. The currency can change while nothing was
    used or paid.
    """

    reason: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    currency: CurrencyName | UnsetType = UNSET
    plan_id: UUID | UnsetType = UNSET
    credit_limit: Money | None = None
    price_book_id: UUID | UnsetType | None = UNSET


def _shown(row: PlanRow) -> Plan:
    return Plan(
        id=str(row.pk),
        slug=row.slug,
        name=row.name,
        rpm=row.rpm,
        tpm=row.tpm,
        rpd=row.rpd,
        streams=row.streams,
        price_book_id=str(row.book_id) if row.book_id else None,
        currency=row.currency,
        mode=row.mode,
        credit_limit=_text(row.credit_limit),
        promo_monthly=str(row.promo_monthly),
        models=list(row.models),
        support=row.support,
        is_public=row.is_public,
        rank=row.rank,
        self_service=row.self_service,
    )


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _facts(body: PlanFacts) -> Any:
    facts = structs.asdict(body)
    for name in ("credit_limit", "promo_monthly"):
        _money_check(facts[name], name)
    book = facts.pop("price_book_id")
    return facts | {
        "book": _book(book) if book else None,
        "mode": Mode(body.mode),
        "models": list(body.models),
    }


def _money_check(amount: Decimal | None, name: str) -> None:
    is_sane = amount is None or (amount.is_finite() and 0 <= amount < 10**10)
    if not is_sane:
        raise InvalidRequest("An amount is a number, not below zero.", param=name)


def _book(book_id: UUID) -> BookRow:
    found = BookRow.objects.filter(pk=book_id).first()
    if found is None:
        raise InvalidRequest("There is no such price book.", param="price_book_id")
    return found


class PlansView(PlatformView):
    route = "platform_plans"

    @operation
    def get(self, caller: Operator, query: Paged) -> Page[Plan]:
        """List the plans."""
        return page_of(PlanRow.objects.select_related("book"), query, _shown)

    @operation
    def post(self, caller: Operator, body: PlanNew) -> Plan:
        """Add a plan."""
        return _shown(limiting.plan_create(actor=caller.user, **_facts(body)))


class PlanView(PlatformView):
    route = "platform_plan"

    @operation
    def get(self, caller: Operator, plan: UUID) -> Plan:
        """One plan."""
        return _shown(get_object_or_404(PlanRow.objects.select_related("book"), pk=plan))

    @operation
    def post(self, caller: Operator, plan: UUID, body: PlanFacts) -> Plan:
        """Change a plan, for all who are on it."""
        row = get_object_or_404(PlanRow, pk=plan)
        return _shown(limiting.plan_update(actor=caller.user, plan=row, **_facts(body)))


def _terms_shown(row: TermsRow) -> Terms:
    return Terms(
        organization_id=str(row.organization_id),
        plan_id=str(row.plan_id) if row.plan_id else None,
        plan_since=seconds_or_none(row.plan_since),
        mode=row.mode,
        credit_limit=_text(row.credit_limit),
        currency=row.currency,
        price_book_id=str(row.book_id) if row.book_id else None,
    )


class OrganizationTermsView(PlatformView):
    route = "platform_organization_terms"

    @operation
    def get(self, caller: Operator, organization: UUID) -> Terms:
        """How an organization buys."""
        return self._now(get_object_or_404(Organization, pk=organization))

    @operation
    def post(self, caller: Operator, organization: UUID, body: TermsChange) -> Terms:
        """Move an organization to another plan, price book or currency, with the reason."""
        row = get_object_or_404(Organization, pk=organization)
        _money_check(body.credit_limit, "credit_limit")
        with transaction.atomic():
            _change(caller, row, body)
        return self._now(row)

    def _now(self, row: Organization) -> Terms:
        found = TermsRow.objects.for_organization(row).first()
        return _terms_shown(found or TermsRow(organization=row))


def _change(caller: Operator, row: Organization, body: TermsChange) -> None:
    if body.currency is not UNSET:
        plans.currency_set(actor=caller.user, organization=row, currency=Currency(body.currency))
    if body.plan_id is not UNSET:
        plans.plan_change(
            actor=caller.user,
            organization=row,
            plan=get_object_or_404(PlanRow.objects.select_related("book"), pk=body.plan_id),
            reason=body.reason,
            credit_limit=body.credit_limit,
        )
    elif body.credit_limit is not None:
        raise InvalidRequest("A credit limit is set with a plan.", param="credit_limit")
    if body.price_book_id is not UNSET:
        book = _book(body.price_book_id) if body.price_book_id else None
        plans.terms_set_book(actor=caller.user, organization=row, book=book, reason=body.reason)
