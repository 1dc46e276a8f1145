"""What can be done to invitations."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit
from tenants.emails import email_clean
from tenants.invitations import Link
from tenants.models import INVITATION_LASTS, Invitation, Membership, Organization, Role, User
from tenants.services.members import member_add, organization_lock, owners_check


class Problem(StrEnum):
    """Why an invitation cannot be accepted."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    USED = "used"
    REVOKED = "revoked"
    OUTDATED = "outdated"
    CLOSED = "closed"
    OTHER_PERSON = "other person"
    UNVERIFIED = "unverified"
    MEMBER_ALREADY = "member already"
    OPERATOR = "operator"


class InvitationRefused(Exception):  # noqa: N818 - named for what happened
    """It is not accepted, and nothing has changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


@transaction.atomic
def invitation_create(
    *, actor: User | None, organization: Organization, email: str, role: Role
) -> Invitation:
    """An invitation to send. ValidationError says why not."""
    organization = organization_lock(organization)
    email = email_clean(email)
    owners_check(actor, organization, role)
    _invitable_check(organization, email)
    invitation = Invitation.objects.create(
        organization=organization,
        email=email,
        role=role,
        invited_by=actor,
        expires_at=timezone.now() + INVITATION_LASTS,
    )
    _told(actor, "invitation.create", invitation)
    return invitation


@transaction.atomic
def invitation_send_again(*, actor: User | None, invitation: Invitation) -> Invitation:
    """Another 7 days, and a new link: earlier ones do not work any more."""
    invitation = _open(invitation)
    owners_check(actor, invitation.organization, invitation.role)
    invitation.serial += 1
    invitation.expires_at = timezone.now() + INVITATION_LASTS
    invitation.save(update_fields=["serial", "expires_at"])
    _told(actor, "invitation.send_again", invitation)
    return invitation


@transaction.atomic
def invitation_revoke(*, actor: User | None, invitation: Invitation) -> Invitation:
    invitation = _open(invitation)
    owners_check(actor, invitation.organization, invitation.role)
    invitation.revoked_at = timezone.now()
    invitation.save(update_fields=["revoked_at"])
    _told(actor, "invitation.revoke", invitation)
    return invitation


@transaction.atomic
def invitation_accept(*, actor: User, link: Link, verified: Collection[str]) -> Membership:
    """Make `actor` a member, once. `verified` are the addresses that they have proven to have.

    InvitationRefused says why not.
    """
    organization_lock(invitation_check(link=link).organization)
    invitation = invitation_check(link=link, user=actor, verified=verified)
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    _told(actor, "invitation.accept", invitation)
    return member_add(
        actor=actor,
        organization=invitation.organization,
        user=actor,
        role=Role(invitation.role),
    )


def invitation_check(
    *, link: Link | None, user: User | None = None, verified: Collection[str] = ()
) -> Invitation:
    """The invitation of `link`, where whoever holds it, or `user`, can accept it.

    InvitationRefused says why not.
    """
    found = Invitation.objects.select_related("organization", "invited_by")
    invitation = link and found.filter(pk=link.invitation_id).first()
    if link is None or invitation is None:
        raise InvitationRefused(Problem.UNKNOWN)
    problem = _of_invitation(invitation, link, timezone.now())
    if problem is None and user is not None:
        problem = _of_person(invitation, user, verified)
    if problem:
        raise InvitationRefused(problem)
    return invitation


def _of_invitation(invitation: Invitation, link: Link, now: datetime) -> Problem | None:
    if invitation.accepted_at:
        return Problem.USED
    if invitation.revoked_at:
        return Problem.REVOKED
    if invitation.serial != link.serial:
        return Problem.OUTDATED
    if invitation.is_expired(now):
        return Problem.EXPIRED
    return None if invitation.organization.is_active else Problem.CLOSED


def _of_person(invitation: Invitation, user: User, verified: Collection[str]) -> Problem | None:
    if user.is_staff:
        return Problem.OPERATOR
    if user.email.lower() != invitation.email.lower():
        return Problem.OTHER_PERSON
    if invitation.email.lower() not in {one.lower() for one in verified}:
        return Problem.UNVERIFIED
    members = Membership.objects.for_organization(invitation.organization)
    return Problem.MEMBER_ALREADY if members.filter(user=user).exists() else None


def _open(invitation: Invitation) -> Invitation:
    """As it is now, whatever others do; ValidationError when it is over."""
    organization = organization_lock(invitation.organization)
    mine = Invitation.objects.for_organization(organization).open()
    if now := mine.filter(pk=invitation.pk).first():
        return now
    raise ValidationError(
        _("This invitation was accepted or revoked meanwhile: look at the list again.")
    )


def _invitable_check(organization: Organization, email: str) -> None:
    if not organization.is_active:
        raise ValidationError(_("An organization that is not active invites nobody."))
    if Membership.objects.for_organization(organization).filter(user__email__iexact=email).exists():
        raise ValidationError(_("This person is a member already: change their role instead."))
    if User.objects.filter(email__iexact=email, is_staff=True).exists():
        raise ValidationError(
            _("This is an operator, and operators belong to no organization: use another address.")
        )
    open_ones = Invitation.objects.for_organization(organization).open()
    if open_ones.filter(email__iexact=email).exists():
        raise ValidationError(_("This person is invited already. Send the invitation again."))


def _told(actor: User | None, action: str, invitation: Invitation) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=invitation,
        organization=invitation.organization,
        email=invitation.email,
        role=invitation.role,
    )
