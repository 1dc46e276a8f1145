"""Plans: who is on which, and moving between them. Each act is atomic and audited."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.ledger import books_lock, promo_grant, wallet_read
from billing.limiting import money_changed
from billing.models import (
    LEAST_CHARGE,
    OPEN,
    Account,
    AccountKind,
    Books,
    Budget,
    Currency,
    Mode,
    Payment,
    PaymentState,
    Plan,
    PriceBook,
    Terms,
    Transfer,
    UsageDay,
)
from billing.price_books import currency_of
from tenants import audit
from tenants.models import Membership, Organization, OrganizationState, Role, User
from tenants.tenancy import everything

__all__ = [
    "currency_of",
    "currency_set",
    "plan_begin",
    "plan_change",
    "plan_refusal",
    "promo_awaits_proof",
    "promo_monthly_grant",
    "terms_set_book",
]

LOT: Final = "monthly"


def plan_refusal(organization: Organization, plan: Plan) -> str:
    """Why a customer cannot change to `plan` by themselves; empty where they can."""
    terms = Terms.objects.select_related("plan").filter(pk=organization.pk).first()
    if terms is None or terms.plan is None or not terms.plan.self_service or terms.book_id:
        return _("Your terms were agreed on with us. Ask us to change them.")
    if terms.plan == plan:
        return _("You are on this plan already.")
    if not plan.self_service or plan.mode == Mode.POSTPAID:
        return _("Ask us for this plan: it is paid afterwards, or agreed on.")
    if plan.book and plan.book.currency != terms.currency:
        return _("This plan is sold in another currency: choose one in that of the organization.")
    wallet = wallet_read([organization.pk])[organization.pk]
    if wallet.unbilled + wallet.receivable >= LEAST_CHARGE[terms.currency]:
        return _("Usage waits to be paid. Pay it first, then change to a plan paid in advance.")
    return ""


@transaction.atomic
def plan_change(
    *,
    actor: User,
    organization: Organization,
    plan: Plan,
    reason: str = "",
    credit_limit: Decimal | None = None,
) -> Terms:
    """Let `organization` buy by `plan` from now on: its limits, payment, models and prices.

    An operator says why, and may set another `credit_limit` than the plan's. ValidationError says
    why it cannot be; what customers may not do by themselves, `plan_refusal` says.
    """
    books_lock([organization.pk])
    if actor.is_staff:
        _reason_check(reason)
    elif (why := plan_refusal(organization, plan)) or credit_limit is not None:
        raise ValidationError({"plan": why or _("Only we can set a credit limit.")})
    terms = _terms(organization)
    before = terms.plan and terms.plan.slug
    _put_on(terms, plan, credit_limit)
    audit.record(
        actor=actor,
        action="plan.change",
        target=terms,
        organization=organization,
        before=before,
        plan=plan.slug,
        mode=terms.mode,
        credit_limit=None if terms.credit_limit is None else str(terms.credit_limit),
        reason=reason,
    )
    money_changed(organization)
    return terms


@transaction.atomic
def plan_begin(*, actor: User | None, organization: Organization) -> Terms | None:
    """Put somebody who signed up by themselves on the plan that `SIGN_UP_PLAN` names.

    Without such a plan they pay in advance by none; with an empty setting they have no terms.
    """
    if not settings.SIGN_UP_PLAN:
        return None
    books_lock([organization.pk])
    terms = Terms(organization=organization, mode=Mode.PREPAID)
    plan = Plan.objects.filter(slug=settings.SIGN_UP_PLAN).first()
    if plan:
        _put_on(terms, plan)
    else:
        terms.save()
    audit.record(
        actor=actor,
        action="plan.begin",
        target=terms,
        organization=organization,
        plan=plan and plan.slug,
        mode=terms.mode,
    )
    money_changed(organization)
    return terms


def _reason_check(reason: str) -> None:
    if not reason.strip():
        raise ValidationError({"reason": _("Say why: it is kept with the change.")})


def _terms(organization: Organization) -> Terms:
    found = Terms.objects.select_related("plan").filter(pk=organization.pk).first()
    return found or Terms(organization=organization)


def _put_on(terms: Terms, plan: Plan, credit_limit: Decimal | None = None) -> None:
    if plan.book and plan.book.currency != terms.currency:
        raise ValidationError(
            {
                "plan": _(
                    "This plan is sold in another currency: choose one in that of the organization."
                )
            }
        )
    if plan.mode == Mode.PREPAID:
        if credit_limit is not None:
            raise ValidationError(
                {"credit_limit": _("Prepaid has no credit limit: leave it empty.")}
            )
    elif credit_limit is None and plan.credit_limit is not None:
        if plan.currency != terms.currency:
            words = {"currency": terms.currency}
            raise ValidationError(
                {"credit_limit": _("Set the credit limit in %(currency)s.") % words}
            )
        credit_limit = plan.credit_limit
    if credit_limit is not None and credit_limit < 0:
        raise ValidationError({"credit_limit": _("Enter 0 or more.")})
    terms.plan, terms.mode, terms.credit_limit = plan, plan.mode, credit_limit
    terms.plan_since = timezone.now()
    terms.save()
    if terms.organization.state == OrganizationState.ACTIVE:
        with everything("members may choose a plan; what it gives is the platform's to book"):
            _promo_give(terms, timezone.now())


@transaction.atomic
def terms_set_book(
    *, actor: User | None, organization: Organization, book: PriceBook | None, reason: str
) -> Terms:
    """Let it pay by a book of its own; None is its plan's, or the list."""
    _reason_check(reason)
    books_lock([organization.pk])
    terms = _terms(organization)
    if book and book.currency != terms.currency:
        raise ValidationError(
            {"book": _("This book is in another currency: choose one in that of the organization.")}
        )
    if book and book.organization_id not in {None, organization.pk}:
        raise ValidationError(
            {
                "book": _(
                    "This book is of another organization: choose one of its own, or a shared one."
                )
            }
        )
    terms.book = book
    terms.save()
    audit.record(
        actor=actor,
        action="terms.set_book",
        target=terms,
        organization=organization,
        book=book and book.slug,
        reason=reason,
    )
    money_changed(organization)
    return terms


@transaction.atomic
def currency_set(*, actor: User | None, organization: Organization, currency: Currency) -> Terms:
    """The currency of all its money, while there is none. Nothing is converted."""
    books_lock([organization.pk])
    terms = _terms(organization)
    if terms.currency == currency:
        return terms
    if why := _currency_stays(terms):
        raise ValidationError({"currency": why})
    terms.currency = currency
    terms.save()
    Books.objects.filter(pk=organization.pk).update(currency=currency)
    audit.record(
        actor=actor,
        action="terms.set_currency",
        target=terms,
        organization=organization,
        currency=currency,
    )
    money_changed(organization)
    return terms


def _currency_stays(terms: Terms) -> str:
    """Why the currency cannot be another; empty where it can."""
    own = Account.objects.filter(organization=terms.organization)
    entries = Transfer.objects.filter(debit__in=own) | Transfer.objects.filter(credit__in=own)
    if entries.exists() or UsageDay.objects.for_organization(terms.organization).exists():
        return _("It has used or paid something already, so its currency stays.")
    if Payment.objects.for_organization(terms.organization).filter(state__in=OPEN).exists():
        return _("A payment in this currency is under way. Wait until it is paid or has lapsed.")
    if terms.credit_limit is not None:
        return _("Its credit limit is in this currency. Put it on a plan paid in advance first.")
    if terms.book_id or (terms.plan and terms.plan.book_id):
        return _("Its price book or its plan’s is in this currency. Change that first.")
    if Budget.objects.for_organization(terms.organization).exists():
        return _("It has budgets in this currency. Remove them first.")
    return ""


def promo_awaits_proof(organization: Organization) -> bool:
    """Whether this month's credit of its plan waits for a passkey of an owner, or a payment."""
    terms = Terms.objects.select_related("plan__book").filter(pk=organization.pk).first()
    if terms is None or not _gives(terms.plan, terms):
        return False
    now = timezone.now()
    return not (_has_lot(terms, now) or _is_proven(terms, now))


def _has_lot(terms: Terms, now: datetime) -> bool:
    accounts = Account.objects.for_organization(terms.organization)
    return accounts.filter(kind=AccountKind.PROMO, part=_lot(now)).exists()


def _is_proven(terms: Terms, now: datetime) -> bool:
    with everything("whether an owner has a passkey"):
        return Terms.objects.filter(_proven(now), pk=terms.pk).exists()


def _proven(now: datetime) -> Q:
    """Of a plan for the asking, what nobody has a thousand times: a passkey of an owner who has
    this month's credit nowhere else, or a payment.
    """
    lots = Account.objects.filter(kind=AccountKind.PROMO, part=_lot(now))
    elsewhere = Membership.objects.filter(
        ~Q(organization=OuterRef(OuterRef("pk"))),
        organization__in=lots.values("organization"),
        user=OuterRef("user"),
        role=Role.OWNER,
    )
    passkeys = Authenticator.objects.filter(
        ~Exists(elsewhere),
        type=Authenticator.Type.WEBAUTHN,
        user__is_active=True,
        user__memberships__organization=OuterRef("pk"),
        user__memberships__role=Role.OWNER,
    )
    payments = Payment.objects.filter(organization=OuterRef("pk"), state=PaymentState.PAID)
    return Q(plan__self_service=False) | Q(Exists(passkeys)) | Q(Exists(payments))


def promo_monthly_grant(now: datetime) -> int:
    """Give this month's credit of their plan to all who lack it; how many that were.

    Of a plan that customers choose themselves it is for those who have shown that they are
    somebody: an owner has a passkey, or something was paid.
    """
    given = Account.objects.filter(
        organization=OuterRef("pk"), kind=AccountKind.PROMO, part=_lot(now)
    )
    due = Terms.objects.filter(
        _proven(now), ~Exists(given), plan__promo_monthly__gt=0,
        organization__state=OrganizationState.ACTIVE,
    )  # fmt: skip
    return sum(
        _promo_give(terms, now)
        for terms in due.select_related("organization", "plan__book").order_by("pk")
    )


def _promo_give(terms: Terms, now: datetime) -> bool:
    """Once a month, whatever plans it was on; whether that was now."""
    plan, lot = terms.plan, _lot(now)
    if plan is None or not _gives(plan, terms):
        return False
    if _has_lot(terms, now) or not _is_proven(terms, now):
        return False
    promo_grant(
        actor=None,
        organization=terms.organization,
        amount=plan.promo_monthly,
        expires_at=_next_month(now),
        reason=f"{plan.name}, {now:%Y-%m}",
        reference=lot,
    )
    return True


def _gives(plan: Plan | None, terms: Terms) -> bool:
    return bool(plan and plan.promo_monthly and plan.currency == terms.currency)


def _lot(now: datetime) -> str:
    return f"{LOT}-{now.astimezone(UTC):%Y-%m}"


def _next_month(now: datetime) -> datetime:
    """Where the month after that of `now` begins."""
    this = now.astimezone(UTC)
    return datetime(this.year + this.month // 12, this.month % 12 + 1, 1, tzinfo=UTC)
