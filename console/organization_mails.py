"""What people are mailed about organizations: who is told, and where the mail leads."""

from __future__ import annotations

from django.urls import reverse
from django.utils.formats import date_format

from console.mails import mail_send
from tenants.invitations import token_mint
from tenants.models import Invitation, Membership, Organization, OwnershipOffer, StaffRole, User


def invitation_mail(invitation: Invitation) -> None:
    """The one place that has the link of an invitation."""
    token = token_mint(invitation.pk, invitation.serial)
    mail_send(
        "invitation",
        to=[invitation.email],
        url=reverse("invitation", args=[token]),
        organization=invitation.organization,
        inviter=invitation.invited_by,
        role=invitation.get_role_display().lower(),
        until=date_format(invitation.expires_at, "j M Y H:i"),
    )


def offer_mail(offer: OwnershipOffer) -> None:
    mail_send(
        "ownership_offer",
        to=[offer.offered_to.user.email],
        url=reverse("members", args=[offer.organization.slug]),
        organization=offer.organization,
        owner=offer.offered_by.user,
        until=date_format(offer.expires_at, "j M Y H:i"),
    )


def state_mail(organization: Organization) -> None:
    """Tell the owners that an administrator let it in, refused, stopped or deleted it."""
    mail_send(
        f"organization_{organization.state}",
        to=owners_of(organization),
        url=reverse("org_home", args=[organization.slug]),
        organization=organization,
        reason=organization.state_reason,
        until=organization.erase_at and date_format(organization.erase_at, "j M Y"),
    )


def waiting_mail(organization: Organization, owner: User) -> None:
    """Tell the administrators that somebody wants to be let in."""
    administrators = User.objects.filter(is_active=True, staff_role=StaffRole.ADMINISTRATOR)
    mail_send(
        "organization_waiting",
        to=list(administrators.values_list("email", flat=True)),
        url=reverse("operator_waiting"),
        organization=organization,
        owner=owner,
    )


def staff_mail(user: User) -> None:
    mail_send(
        "staff_added",
        to=[user.email],
        url=reverse("account_reset_password"),
        role=user.get_staff_role_display().lower(),
    )


def owners_of(organization: Organization) -> list[str]:
    owners = Membership.objects.for_organization(organization).owners()
    found = owners.filter(user__is_active=True).order_by("user__email")
    return list(found.values_list("user__email", flat=True))
