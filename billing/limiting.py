"""What can be done to limits, plans and terms. Each act is atomic and audited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final, TypedDict, Unpack

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger import books_announce
from billing.limits import rules_read
from billing.models import Limit, LimitKind, Mode, Plan, PriceBook, Terms
from tenants import audit
from tenants.models import ApiKey, Organization, Project, User
from tenants.valkey import snapshot_changed

MOST: Final = 10**12
"""No limit is higher: the counters stay whole numbers that Lua can count."""


@transaction.atomic
def limit_set(
    *,
    actor: User | None,
    organization: Organization,
    kind: LimitKind,
    value: int,
    project: Project | None = None,
    api_key: ApiKey | None = None,
    model: str = "",
    reason: str = "",
    ends_at: datetime | None = None,
) -> Limit:
    """Let the organization, or one of its projects or keys, use at most `value`.

    One of the same scope, model and kind is replaced. ValidationError names the field and why.
    """
    scope_check(organization, project, api_key)
    errors = _wrong(value, ends_at)
    if project or api_key:
        errors |= _too_high(organization, kind, value, model)
    if errors:
        raise ValidationError(errors)
    limit, _is_new = Limit.objects.update_or_create(
        organization=organization,
        project=project,
        api_key=api_key,
        model=model,
        kind=kind,
        defaults={
            "value": value, "reason": reason, "ends_at": ends_at, "set_by": actor,
            "created_at": timezone.now(),
        },
    )  # fmt: skip
    _told(actor, "limit.set", limit)
    return limit


@transaction.atomic
def limit_remove(*, actor: User | None, limit: Limit) -> None:
    _told(actor, "limit.remove", limit)
    limit.delete()


def _told(actor: User | None, action: str, limit: Limit) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=limit,
        organization=limit.organization,
        project=limit.project and limit.project.name,
        api_key=limit.api_key and limit.api_key.name,
        model=limit.model,
        kind=limit.kind,
        value=limit.value,
        reason=limit.reason,
        ends_at=limit.ends_at and limit.ends_at.isoformat(),
    )
    transaction.on_commit(snapshot_changed)


def scope_check(
    organization: Organization, project: Project | None, api_key: ApiKey | None
) -> None:
    """ValidationError unless it is the organization, or one project or one key of it."""
    if project and api_key:
        raise ValidationError({"api_key": _("Choose a project or a key, not both.")})
    if project and project.organization_id != organization.pk:
        raise ValidationError({"project": _("This project is of another organization.")})
    if api_key and api_key.organization_id != organization.pk:
        raise ValidationError({"api_key": _("This key is of another organization.")})


def _wrong(value: int, ends_at: datetime | None) -> dict[str, str]:
    errors = dict[str, str]()
    if value < 1:
        errors["value"] = _("At least 1. To stop all requests, revoke the keys.")
    elif value > MOST:
        errors["value"] = _("At most %(most)d. Remove the limit to have none.") % {"most": MOST}
    if ends_at and ends_at <= timezone.now():
        errors["ends_at"] = _("This is over already. Choose a time to come, or none.")
    return errors


def _too_high(
    organization: Organization, kind: LimitKind, value: int, model: str
) -> dict[str, str]:
    """A part may have what the whole has, and not more: the rest would never count."""
    found = organization_limits(organization, model)
    if kind not in found or value <= found[kind]:
        return {}
    words = {"most": found[kind]}
    return {"value": _("The organization itself may use %(most)d. Choose no more.") % words}


def organization_limits(organization: Organization, model: str = "") -> dict[LimitKind, int]:
    """What the organization as a whole may use now, of all models or of `model`."""
    terms = rules_read(timezone.now(), organization.pk).terms(organization.pk, None, None)
    lowest = dict[LimitKind, int]()
    for one in (*terms.limits, *(terms.by_model.get(model, ()) if model else ())):
        lowest[one.kind] = min(one.value, lowest.get(one.kind, one.value))
    return lowest


class PlanFacts(TypedDict):
    """What may be used; None is no limit."""

    name: str
    rpm: int | None
    tpm: int | None
    rpd: int | None
    streams: int | None


class PlanTerms(PlanFacts, total=False):
    """How its customers buy; see `Plan`."""

    book: PriceBook | None
    mode: Mode
    credit_limit: Decimal | None
    promo_monthly: Decimal
    models: Sequence[str]
    support: str
    is_public: bool
    rank: int
    self_service: bool


@transaction.atomic
def plan_create(*, actor: User | None, slug: str, **facts: Unpack[PlanTerms]) -> Plan:
    plan = Plan(slug=slug, **facts)
    return _plan_kept(actor, "plan.create", plan)


@transaction.atomic
def plan_update(*, actor: User | None, plan: Plan, **facts: Unpack[PlanTerms]) -> Plan:
    plan = Plan.objects.select_for_update().get(pk=plan.pk)
    for name, value in facts.items():
        setattr(plan, name, value)
    return _plan_kept(actor, "plan.update", plan)


def _plan_kept(actor: User | None, action: str, plan: Plan) -> Plan:
    errors = {
        kind.value: message
        for kind in LimitKind
        if (value := getattr(plan, kind.value)) is not None
        for message in _wrong(value, None).values()
    }
    if why := _wrong_credit(Mode(plan.mode), plan.credit_limit):
        errors["credit_limit"] = why
    if errors:
        raise ValidationError(errors)
    plan.full_clean()
    plan.save()
    values = {kind.value: getattr(plan, kind.value) for kind in LimitKind}
    audit.record(
        actor=actor,
        action=action,
        target=plan,
        name=plan.name,
        **values,
        book=plan.book and plan.book.slug,
        mode=plan.mode,
        credit_limit=None if plan.credit_limit is None else str(plan.credit_limit),
        promo_monthly=str(plan.promo_monthly),
        models=list(plan.models),
        self_service=plan.self_service,
    )
    transaction.on_commit(snapshot_changed)
    return plan


@transaction.atomic
def terms_set(
    *,
    actor: User | None,
    organization: Organization,
    plan: Plan | None,
    mode: Mode,
    credit_limit: Decimal | None,
) -> Terms:
    """How `organization` buys: on which plan, and up to what in its currency."""
    if why := _wrong_credit(mode, credit_limit):
        raise ValidationError({"credit_limit": why})
    terms = Terms.objects.filter(organization=organization).first() or Terms(
        organization=organization
    )
    if plan and plan.book and plan.book.currency != terms.currency:
        raise ValidationError(
            {
                "plan": _(
                    "This plan is sold in another currency: choose one in that of the organization."
                )
            }
        )
    if terms.plan != plan:
        terms.plan_since = timezone.now()
    terms.plan, terms.mode, terms.credit_limit = plan, mode, credit_limit
    terms.save()
    audit.record(
        actor=actor,
        action="terms.set",
        target=terms,
        organization=organization,
        plan=plan and plan.slug,
        mode=mode,
        credit_limit=None if credit_limit is None else str(credit_limit),
    )
    money_changed(organization)
    return terms


def _wrong_credit(mode: Mode, credit_limit: Decimal | None) -> str:
    if credit_limit is None:
        return ""
    if mode == Mode.PREPAID:
        return _("Prepaid has no credit limit: leave it empty.")
    return _("Not below zero. Leave it empty for no limit.") if credit_limit < 0 else ""


def money_changed(*organizations: Organization) -> None:
    """After the commit: the gateways learn what counts, and the counters what is left."""
    books_announce([one.pk for one in organizations])
    transaction.on_commit(snapshot_changed)
