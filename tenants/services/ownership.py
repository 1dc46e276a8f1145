"""Handing an organization over: an owner offers, a member accepts."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit
from tenants.models import OFFER_LASTS, Membership, Organization, OwnershipOffer, Role, User
from tenants.services.members import organization_lock


@transaction.atomic
def ownership_offer(*, actor: User, membership: Membership) -> OwnershipOffer:
    """Offer the member to become an owner in `actor`'s place; an offer of before goes."""
    organization = organization_lock(membership.organization)
    members = Membership.objects.for_organization(organization)
    mine = members.owners().filter(user=actor).first()
    if mine is None:
        raise ValidationError(_("Only an owner can hand the organization over."))
    theirs = members.filter(pk=membership.pk).exclude(role=Role.OWNER).first()
    if theirs is None:
        raise ValidationError(_("Choose a member who is not an owner yet."))
    OwnershipOffer.objects.for_organization(organization).delete()
    offer = OwnershipOffer.objects.create(
        organization=organization,
        offered_by=mine,
        offered_to=theirs,
        expires_at=timezone.now() + OFFER_LASTS,
    )
    _told(actor, "ownership.offer", offer)
    return offer


@transaction.atomic
def ownership_accept(*, actor: User, organization: Organization) -> Membership:
    """Make `actor` an owner, and an admin of whoever offered. ValidationError says why not."""
    organization = organization_lock(organization)
    offer = _offer(organization)
    giver, taker = offer.offered_by, offer.offered_to
    if taker.user_id != actor.pk:
        raise ValidationError(_("The organization was offered to somebody else."))
    if offer.is_expired():
        raise ValidationError(_("The offer has expired. Ask for another one."))
    if giver.role != Role.OWNER:
        raise ValidationError(
            _("Whoever made the offer is no owner any more: ask an owner for another.")
        )
    giver.role, taker.role = Role.ADMIN, Role.OWNER
    Membership.objects.bulk_update([giver, taker], ["role"])
    _told(actor, "ownership.accept", offer)
    offer.delete()
    return taker


@transaction.atomic
def ownership_withdraw(*, actor: User, organization: Organization) -> None:
    """Take the offer back, or decline it."""
    organization = organization_lock(organization)
    offer = _offer(organization)
    is_theirs = offer.offered_to.user_id == actor.pk
    mine = Membership.objects.for_organization(organization).owners().filter(user=actor)
    if not is_theirs and not mine.exists():
        raise ValidationError(_("Only an owner can take the offer back."))
    _told(actor, "ownership.decline" if is_theirs else "ownership.withdraw", offer)
    offer.delete()


def _offer(organization: Organization) -> OwnershipOffer:
    found = OwnershipOffer.objects.for_organization(organization)
    if offer := found.select_related("offered_by__user", "offered_to__user").first():
        return offer
    raise ValidationError(_("There is no offer any more."))


def _told(actor: User, action: str, offer: OwnershipOffer) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=offer,
        organization=offer.organization,
        about=offer.offered_to.user,
        email=offer.offered_to.user.email,
    )
