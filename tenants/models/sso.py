"""How the people of an organization log in through a provider of its own."""

from __future__ import annotations

from typing import ClassVar, Final, Self, override

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models.members import Role
from tenants.models.organizations import Organization, TenantQuerySet, new_id

JOINS_AS: Final = ((Role.DEVELOPER, Role.DEVELOPER.label), (Role.AUDITOR, Role.AUDITOR.label))
"""What somebody may become by logging in alone."""


class SsoProvider(models.Model):
    """An OpenID Connect provider. `issuer` is what its tokens must say, to the letter.

    `worked_at` is when somebody last logged in through it; only what has worked can be enforced.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.OneToOneField(Organization, models.CASCADE, related_name="sso")
    issuer = models.URLField(_("issuer"), max_length=300)
    client_id = models.CharField(_("client ID"), max_length=200)
    sealed_secret = models.BinaryField(editable=False)
    joins_as = models.CharField(
        _("role of who comes for the first time"),
        max_length=20,
        choices=JOINS_AS,
        default=Role.DEVELOPER,
    )
    is_enforced = models.BooleanField(default=False)
    worked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantQuerySet["SsoProvider"].as_manager()

    @override
    def __str__(self) -> str:
        return self.issuer


class SsoDomainQuerySet(TenantQuerySet["SsoDomain"]):
    def verified(self) -> Self:
        return self.exclude(verified_at=None)

    def of(self, email: str) -> Self:
        """The domain of an e-mail address, once it is verified: one at most."""
        return self.verified().filter(name=email.rpartition("@")[2].lower())


class SsoDomain(models.Model):
    """A mail domain that is the organization's own once a TXT record of it holds `token`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="sso_domains")
    name = models.CharField(_("domain"), max_length=253)
    token = models.CharField(max_length=64, editable=False)
    verified_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SsoDomainQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="sso_domain_once"),
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(verified_at__isnull=False),
                name="sso_domain_one_owner",
            ),
        ]

    @override
    def __str__(self) -> str:
        return self.name
