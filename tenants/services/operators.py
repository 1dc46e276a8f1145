"""What can be done to the operator's staff, and by them in a customer's place."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit
from tenants.emails import email_clean
from tenants.models import IMPERSONATION_LASTS, Impersonation, Membership, StaffRole, User
from tenants.services.members import user_create

HELPERS: Final = frozenset({StaffRole.ADMINISTRATOR, StaffRole.SUPPORT})
"""Who may look over a customer's shoulder."""


@transaction.atomic
def staff_add(*, actor: User, email: str, name: str, role: StaffRole) -> User:
    """A new operator, who chooses a password by mail. ValidationError says why not."""
    email = email_clean(email)
    if User.objects.filter(email__iexact=email).exists():
        raise ValidationError(
            {"email": _("This address has an account. Operators have one of their own.")}
        )
    user = user_create(actor=actor, email=email, name=name)
    _staff_told(actor, "staff.add", user, "", role)
    return _with_role(user, role)


@transaction.atomic
def staff_set_role(*, actor: User, user: User, role: StaffRole) -> User:
    """ValidationError when nobody would be left who is an administrator."""
    user = _staff_locked(user)
    before = user.staff_role
    if before != role:
        _last_administrator_check(user)
        _staff_told(actor, "staff.set_role", user, before, role)
    return _with_role(user, role)


@transaction.atomic
def staff_remove(*, actor: User, user: User) -> User:
    """They cannot log in any more. ValidationError as for `staff_set_role`."""
    user = _staff_locked(user)
    _last_administrator_check(user)
    _staff_told(actor, "staff.remove", user, user.staff_role, "")
    user.is_active = user.is_staff = user.is_superuser = False
    user.staff_role = ""
    user.set_unusable_password()
    user.save()
    return user


@transaction.atomic
def impersonation_start(*, actor: User, membership: Membership, reason: str) -> Impersonation:
    """Let `actor` see what the member sees, for 30 minutes; both trails tell, with both names.

    ValidationError says why not.
    """
    if actor.staff_role not in HELPERS:
        raise ValidationError(_("Only administrators and support may do this."))
    if membership.user.is_staff:
        raise ValidationError(_("Nobody takes the place of an operator."))
    if not reason.strip():
        raise ValidationError({"reason": _("Say why: the customer reads it.")})
    now = timezone.now()
    for earlier in Impersonation.objects.filter(operator=actor).running(now):
        impersonation_end(actor=actor, impersonation=earlier)
    started = Impersonation.objects.create(
        organization=membership.organization,
        operator=actor,
        member=membership.user,
        reason=reason.strip(),
        started_at=now,
        expires_at=now + IMPERSONATION_LASTS,
    )
    _impersonation_told(actor, "impersonation.start", started, reason=started.reason)
    return started


@transaction.atomic
def impersonation_saw(*, impersonation: Impersonation, path: str) -> None:
    """Put on record, in the customer's trail, which of their pages the operator opened."""
    audit.record(
        actor=impersonation.operator,
        action="impersonation.see",
        target=impersonation,
        organization=impersonation.organization,
        path=path,
    )


@transaction.atomic
def impersonation_end(*, actor: User | None, impersonation: Impersonation) -> Impersonation:
    """End it once; `actor` is None when its time was over."""
    found = Impersonation.objects.select_for_update(of=("self",))
    impersonation = found.select_related("organization", "operator", "member").get(
        pk=impersonation.pk
    )
    if impersonation.ended_at is None:
        impersonation.ended_at = min(timezone.now(), impersonation.expires_at)
        impersonation.save(update_fields=["ended_at"])
        _impersonation_told(actor, "impersonation.end", impersonation)
    return impersonation


def impersonations_lapse() -> int:
    """Put on record the end of those whose time is over, and how many they were."""
    lapsed = list(Impersonation.objects.lapsed(timezone.now()))
    for one in lapsed:
        impersonation_end(actor=None, impersonation=one)
    return len(lapsed)


def _with_role(user: User, role: StaffRole) -> User:
    user.is_staff, user.staff_role = True, role
    user.save(update_fields=["is_staff", "staff_role"])
    return user


def _staff_locked(user: User) -> User:
    """As it is now. All of staff are locked, so that two changes cannot miss each other."""
    staff = {one.pk: one for one in User.objects.select_for_update().filter(is_staff=True)}
    if user.pk not in staff:
        raise ValidationError(_("This person is no operator any more."))
    return staff[user.pk]


def _last_administrator_check(user: User) -> None:
    administrators = User.objects.filter(
        is_staff=True, is_active=True, staff_role=StaffRole.ADMINISTRATOR
    )
    is_one = user.staff_role == StaffRole.ADMINISTRATOR
    if is_one and not administrators.exclude(pk=user.pk).exists():
        raise ValidationError(
            _("%(name)s is the only administrator. Make somebody else one first.") % {"name": user}
        )


def _staff_told(actor: User, action: str, user: User, before: str, after: str) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=user,
        about=user,
        email=user.email,
        before=before,
        after=after,
    )


def _impersonation_told(
    actor: User | None, action: str, impersonation: Impersonation, reason: str = ""
) -> None:
    """In the customer's trail and in the platform's.

    Who the operator is, the entry of its start says as its actor: names stand in no entry.
    """
    for organization in (impersonation.organization, None):
        audit.record(
            actor=actor,
            action=action,
            target=impersonation,
            organization=organization,
            reason=reason,
            about=impersonation.member,
            email=impersonation.member.email,
            name=impersonation.organization.name,
        )
