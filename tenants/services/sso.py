"""What can be done to how the people of an organization log in."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit, tenancy
from tenants.models import Membership, Organization, Role, SsoDomain, SsoProvider, User
from tenants.sealing import seal
from tenants.services.members import member_add, organization_lock

RECORD_AT: Final = "_sluice"
"""The label under a domain whose TXT record holds the proof."""
PROOF: Final = "sluice-verification="
_DOMAIN: Final = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@transaction.atomic
def sso_set(
    *,
    actor: User,
    organization: Organization,
    issuer: str,
    client_id: str,
    secret: str,
    joins_as: str,
) -> SsoProvider:
    """Name the provider. An empty `secret` leaves it as it is; another issuer has to work first."""
    organization = organization_lock(organization)
    found = SsoProvider.objects.for_organization(organization).first()
    sso = found or SsoProvider(organization=organization)
    if sso.issuer != issuer:
        sso.issuer, sso.worked_at, sso.is_enforced = issuer, None, False
    sso.client_id, sso.joins_as = client_id, joins_as
    if secret:
        sso.sealed_secret = seal(secret)
    sso.save()
    facts = {"issuer": issuer, "client_id": client_id, "joins_as": joins_as}
    _recorded(actor, "sso.set", sso, has_new_secret=bool(secret), **facts)
    return sso


@transaction.atomic
def sso_remove(*, actor: User, provider: SsoProvider) -> None:
    """Everyone logs in as before; who only ever came through it chooses a password by mail."""
    provider = _locked(provider)
    _recorded(actor, "sso.remove", provider, issuer=provider.issuer)
    provider.delete()


@transaction.atomic
def sso_enforce(*, actor: User, provider: SsoProvider, is_enforced: bool) -> SsoProvider:
    """Whether it is the only way in for people at the domains. ValidationError says why not yet.

    Owners keep their other ways: a provider that breaks locks nobody out for good.
    """
    provider = _locked(provider)
    if is_enforced and provider.worked_at is None:
        raise ValidationError(_("Log in through it once first, so that it is known to work."))
    if is_enforced and not _domains(provider.organization).exists():
        raise ValidationError(_("Verify a domain first: whose people would it be for?"))
    provider.is_enforced = is_enforced
    provider.save(update_fields=["is_enforced"])
    _recorded(actor, "sso.enforce", provider, after=is_enforced)
    return provider


@transaction.atomic
def sso_joined(*, provider: SsoProvider, user: User, is_first: bool) -> None:
    """Somebody came through the provider. Only the first time makes a member: who was removed
    later stays so.
    """
    SsoProvider.objects.filter(pk=provider.pk).update(worked_at=timezone.now())
    organization = provider.organization
    if is_first and not Membership.objects.for_organization(organization).filter(user=user):
        role = Role(provider.joins_as)
        member_add(actor=user, organization=organization, user=user, role=role)


@transaction.atomic
def sso_domain_add(*, actor: User, organization: Organization, name: str) -> SsoDomain:
    """A mail domain to be proven. ValidationError says what is wrong with it."""
    name, organization = domain_clean(name), organization_lock(organization)
    if SsoDomain.objects.for_organization(organization).filter(name=name).exists():
        raise ValidationError(_("It is in the list already: verify it there."))
    token = secrets.token_urlsafe(24)
    domain = SsoDomain.objects.create(organization=organization, name=name, token=token)
    _recorded_domain(actor, "sso.add_domain", domain)
    return domain


def domain_clean(name: str) -> str:
    """`name` as it is stored: in small letters, without a dot at its end."""
    name = name.strip().lower().rstrip(".")
    if not _DOMAIN.fullmatch(name):
        raise ValidationError(_("This is no domain: write example.com, in a–z, 0–9 and hyphens."))
    return name


@transaction.atomic
def sso_domain_verify(
    *, actor: User, domain: SsoDomain, texts_at: Callable[[str], Iterable[str]]
) -> SsoDomain:
    """Its proof stands in the DNS. `texts_at` gives the TXT records at a name."""
    where = f"{RECORD_AT}.{domain.name}"
    if PROOF + domain.token not in texts_at(where):
        raise ValidationError(
            _("No TXT record of %(where)s holds the proof yet. DNS may take an hour."),
            params={"where": where},
        )
    domain.verified_at = timezone.now()
    try:
        with transaction.atomic():
            domain.save(update_fields=["verified_at"])
    except IntegrityError as error:
        raise ValidationError(
            _("Another organization has verified this domain: ask us, if it is yours.")
        ) from error
    _recorded_domain(actor, "sso.verify_domain", domain)
    return domain


@transaction.atomic
def sso_domain_remove(*, actor: User, domain: SsoDomain) -> None:
    """ValidationError while it is the last one of a provider that is enforced."""
    organization = organization_lock(domain.organization)
    enforced = SsoProvider.objects.for_organization(organization).filter(is_enforced=True)
    if enforced.exists() and not _domains(organization).exclude(pk=domain.pk).exists():
        raise ValidationError(_("Stop enforcing single sign-on first: this is its last domain."))
    _recorded_domain(actor, "sso.remove_domain", domain)
    domain.delete()


def sso_demanded_of(user: User) -> SsoProvider | None:
    """The provider that `user` must come through: none for owners, who may have to repair it."""
    with tenancy.everything("an address says which organization’s provider knows it"):
        enforced = SsoDomain.objects.of(user.email).filter(organization__sso__is_enforced=True)
        domain = enforced.first()
        if domain is None:
            return None
        members = Membership.objects.for_organization(domain.organization)
        if members.filter(user=user, role=Role.OWNER).exists():
            return None
        return SsoProvider.objects.for_organization(domain.organization).get()


def sso_members(organization: Organization) -> list[User]:
    """The members whom its provider knows by their address: all but the owners."""
    names = set(_domains(organization).values_list("name", flat=True))
    members = Membership.objects.for_organization(organization).exclude(role=Role.OWNER)
    return [
        member.user
        for member in members.select_related("user")
        if member.user.email.rpartition("@")[2].lower() in names
    ]


def _locked(provider: SsoProvider) -> SsoProvider:
    """As it is now, whatever others do; ValidationError when it is gone."""
    organization = organization_lock(provider.organization)
    if now := SsoProvider.objects.for_organization(organization).filter(pk=provider.pk).first():
        return now
    raise ValidationError(_("The provider was removed meanwhile."))


def _domains(organization: Organization) -> QuerySet[SsoDomain]:
    return SsoDomain.objects.for_organization(organization).verified()


def _recorded(actor: User, action: str, sso: SsoProvider, **facts: Any) -> None:
    audit.record(actor=actor, action=action, target=sso, organization=sso.organization, **facts)


def _recorded_domain(actor: User, action: str, domain: SsoDomain) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=domain,
        organization=domain.organization,
        domain=domain.name,
    )
