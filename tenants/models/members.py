"""Who belongs to an organization, and as what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final, Self, override

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models.organizations import Organization, TenantQuerySet, new_id
from tenants.models.people import User

INVITATION_LASTS: Final = timedelta(days=7)
OFFER_LASTS: Final = timedelta(days=7)


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    AUDITOR = "auditor", _("Auditor")


class MembershipQuerySet(TenantQuerySet["Membership"]):
    def owners(self) -> Self:
        return self.filter(role=Role.OWNER)


class Membership(models.Model):
    """A user's role in an organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=20, choices=Role)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_unique")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"


class InvitationQuerySet(TenantQuerySet["Invitation"]):
    def open(self) -> Self:
        """Neither accepted nor revoked; they may have expired."""
        return self.filter(accepted_at=None, revoked_at=None)


class Invitation(models.Model):
    """That whoever has `email` may become a member, until `expires_at`.

    Its link (`tenants.invitations`) holds `serial`, which counts up each time it is sent: of
    several mails only the newest works.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="invitations")
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=20, choices=Role)
    serial = models.PositiveSmallIntegerField(default=1, editable=False)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                condition=models.Q(accepted_at=None, revoked_at=None),
                name="invitation_open_once",
            )
        ]

    @override
    def __str__(self) -> str:
        return self.email

    def is_expired(self, now: datetime | None = None) -> bool:
        return (now or timezone.now()) >= self.expires_at


class OwnershipOffer(models.Model):
    """That the owner `offered_by` wants to change places with `offered_to`, until `expires_at`.

    It goes with either membership, and when it is accepted or withdrawn.
    """

    organization = models.OneToOneField(
        Organization, models.CASCADE, related_name="ownership_offer"
    )
    offered_by = models.ForeignKey(Membership, models.CASCADE, related_name="+")
    offered_to = models.ForeignKey(Membership, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)

    objects = TenantQuerySet["OwnershipOffer"].as_manager()

    @override
    def __str__(self) -> str:
        return f"{self.offered_by.user} → {self.offered_to.user}"

    def is_expired(self, now: datetime | None = None) -> bool:
        return (now or timezone.now()) >= self.expires_at
