"""People who come and go: invited, waiting, stopped, and looked after by support."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from tenants import services
from tenants.models import Invitation, Membership, Role, StaffRole, User
from tests.conftest import Cast


def seed_people(cast: Cast) -> None:
    """Invitations, an offer, an archived project, a customer who waits and one that is stopped."""
    for email, role in (("nina@acme.test", Role.BILLING), ("late@acme.test", Role.ADMIN)):
        services.invitation_create(
            actor=cast.olivia, organization=cast.acme, email=email, role=role
        )
    late = Invitation.objects.filter(email="late@acme.test")
    late.update(expires_at=timezone.now() - timedelta(days=1))
    of_max = Membership.objects.for_organization(cast.acme).get(user=cast.max)
    services.ownership_offer(actor=cast.olivia, membership=of_max)
    services.project_archive(
        actor=cast.olivia,
        project=services.project_create(actor=None, organization=cast.acme, name="Pilot 2025"),
    )
    services.staff_add(
        actor=cast.oskar, email="sara@sluice.test", name="Sara Ny", role=StaffRole.SUPPORT
    )
    _customers(cast)


def _customers(cast: Cast) -> None:
    wanda, sam = (
        User.objects.create_user(f"{name}@new.test", None, name=name.title())
        for name in ("wanda", "sam")
    )
    services.organizations_approve_set(actor=cast.oskar, approves=True)
    services.organization_apply(actor=wanda, name="Wanda Robotics", slug="wanda")
    services.organizations_approve_set(actor=cast.oskar, approves=False)
    sunk = services.organization_apply(actor=sam, name="Sunk Ships", slug="sunk")
    services.organization_suspend(
        actor=cast.oskar, organization=sunk, reason="The invoice of May is not paid."
    )
