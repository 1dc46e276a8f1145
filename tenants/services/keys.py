"""What can be done to API keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from tenants import audit, keys
from tenants.models import (
    ApiKey,
    KeyKind,
    Organization,
    Project,
    RetiringSecret,
    ServiceAccount,
    User,
)
from tenants.peers import networks_read
from tenants.valkey import snapshot_changed

LIFETIME: Final = timedelta(days=365)
"""How long a key works unless its maker says otherwise."""
OVERLAP: Final = timedelta(hours=24)
LONGEST_OVERLAP: Final = timedelta(days=30)
WARNED_DAYS: Final = (30, 7, 1)
"""So many days before its end the people of a key are told."""


class NewKey(NamedTuple):
    """A key just made, and its secret, which is shown once and kept nowhere."""

    api_key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class KeyScope:
    """What a key may do: names of tasks, public ids of models, networks in CIDR; none are all."""

    tasks: Iterable[str] = ()
    models: Iterable[str] = ()
    networks: Iterable[str] = ()

    def facts(self) -> dict[str, list[str]]:
        """As a key holds it. Raises ValidationError for what is no network."""
        return {
            "allowed_tasks": sorted(set(self.tasks)),
            "allowed_models": sorted(set(self.models)),
            "allowed_networks": [str(network) for network in networks_read(self.networks)],
        }


EVERYTHING: Final = KeyScope()


@transaction.atomic
def api_key_create(
    *,
    actor: User | None,
    project: Project,
    name: str,
    service_account: ServiceAccount | None = None,
    expires_at: datetime | None = None,
    scope: KeyScope = EVERYTHING,
) -> NewKey:
    """A key of `service_account`, or else of `actor`. ValidationError says why not."""
    _owners_check(project, service_account)
    secret = keys.key_mint()
    api_key = ApiKey.objects.create(
        organization=project.organization,
        project=project,
        service_account=service_account,
        name=name,
        created_by=actor,
        **secret_facts(secret),
        **expiry_facts(expires_at),
        **scope.facts(),
    )
    _told(actor, "api_key.create", api_key, **_shown(api_key))
    return NewKey(api_key, secret)


def secret_facts(secret: str) -> dict[str, Any]:
    """What is kept of a secret."""
    return {
        "hint": keys.key_hint(secret),
        "digest": keys.key_digest(secret),
        "pepper_version": keys.newest_pepper_version(),
    }


def expiry_facts(expires_at: datetime | None) -> dict[str, Any]:
    """When a key ends, and which warnings that is too near for. ValidationError if that is past."""
    if expires_at is None:
        return {"expires_at": None, "warned_days": None}
    left = expires_at - timezone.now()
    if left <= timedelta():
        raise ValidationError(
            _("This time is over already. Choose a later one, or revoke the key.")
        )
    missed = [days for days in WARNED_DAYS if left <= timedelta(days=days)]
    return {"expires_at": expires_at, "warned_days": min(missed, default=None)}


def _owners_check(project: Project, service_account: ServiceAccount | None) -> None:
    if not project.is_active:
        raise ValidationError(
            _("This project is archived, so its keys do not work: restore it first.")
        )
    if service_account and service_account.project_id != project.pk:
        raise ValidationError(
            _("This service account belongs to another project: choose one of this.")
        )
    if service_account and not service_account.is_active:
        raise ValidationError(
            _("This service account is archived, so its keys do not work: choose another.")
        )


@transaction.atomic
def api_key_change(
    *,
    actor: User | None,
    api_key: ApiKey,
    name: str,
    expires_at: datetime | None = None,
    scope: KeyScope = EVERYTHING,
) -> ApiKey:
    """Another name, end or scope, from the next request on. ValidationError says why not."""
    api_key = _locked(api_key)
    before = _shown(api_key)
    facts = {"name": name, **scope.facts()}
    if expires_at != api_key.expires_at:
        facts |= expiry_facts(expires_at)
    for field, value in facts.items():
        setattr(api_key, field, value)
    after = _shown(api_key)
    changed = [field for field in after if after[field] != before[field]]
    if changed:
        api_key.save(update_fields=list(facts))
        _told(
            actor,
            "api_key.change",
            api_key,
            before={field: before[field] for field in changed},
            after={field: after[field] for field in changed},
        )
    return api_key


@transaction.atomic
def api_key_rotate(*, actor: User | None, api_key: ApiKey, overlap: timedelta = OVERLAP) -> NewKey:
    """A new secret in the same slot; the old one works for `overlap` more.

    One that retires already ends at once. ValidationError says why not.
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        raise ValidationError(_("The old secret can work for 0 hours to 30 days more."))
    api_key, secret, now = _locked(api_key), keys.key_mint(), timezone.now()
    RetiringSecret.objects.for_organization(api_key.organization).filter(api_key=api_key).delete()
    if overlap:
        _retire(api_key, now + overlap)
    before = api_key.hint
    for field, value in secret_facts(secret).items():
        setattr(api_key, field, value)
    api_key.save(update_fields=["hint", "digest", "pepper_version"])
    hours = overlap // timedelta(hours=1)
    _told(
        actor, "api_key.rotate", api_key, name=api_key.name, before=before, after=api_key.hint,
        overlap_hours=hours,
    )  # fmt: skip
    return NewKey(api_key, secret)


def _retire(api_key: ApiKey, until: datetime) -> None:
    RetiringSecret.objects.create(
        organization=api_key.organization,
        api_key=api_key,
        hint=api_key.hint,
        digest=api_key.digest,
        until=until,
        last_used_at=api_key.last_used_at,
        last_network=api_key.last_network,
    )


@transaction.atomic
def retiring_secret_end(*, actor: User | None, retiring: RetiringSecret, reason: str = "") -> None:
    """End the overlap of a rotation now."""
    api_key = _locked(retiring.api_key, revoked_too=True)
    retiring.delete()
    facts = {"name": api_key.name, "hint": retiring.hint}
    _told(actor, "api_key.end_retiring", api_key, reason=reason, **facts)


@transaction.atomic
def api_key_revoke(*, actor: User | None, api_key: ApiKey, reason: str = "") -> ApiKey:
    """Revoke `api_key` for good; revoking it again changes nothing."""
    api_key = _locked(api_key, revoked_too=True)
    if api_key.revoked_at is None:
        api_key.revoked_at = timezone.now()
        api_key.save(update_fields=["revoked_at"])
        facts = {"name": api_key.name, "hint": api_key.hint}
        _told(actor, "api_key.revoke", api_key, reason=reason, **facts)
    return api_key


@transaction.atomic
def api_keys_revoke(
    *, actor: User | None, organization: Organization, api_keys: Iterable[ApiKey], reason: str
) -> int:
    """Revoke all of them or none: an entry each, and one of the sum. How many were not yet."""
    active = ApiKey.objects.for_organization(organization).filter(revoked_at=None)
    wanted = active.filter(pk__in=[one.pk for one in api_keys]).order_by("pk")
    revoked = [
        api_key_revoke(actor=actor, api_key=one, reason=reason)
        for one in wanted.select_for_update()
    ]
    if revoked:
        audit.record(
            actor=actor,
            action="api_key.bulk_revoke",
            target=organization,
            organization=organization,
            count=len(revoked),
            reason=reason,
        )
    return len(revoked)


def api_keys_end(*, actor: User | None, organization: Organization, user: User) -> int:
    """Revoke what `user` made for themselves, who leaves, if the organization wants that."""
    if not organization.keys_end_with_member:
        return 0
    personal = ApiKey.objects.for_organization(organization).personal(user)
    return api_keys_revoke(
        actor=actor, organization=organization, api_keys=personal, reason="member_left"
    )


PLAYGROUND: Final = "Playground"
"""The name of the key that usage shows."""


@transaction.atomic
def playground_key_open(*, actor: User | None, project: Project) -> ApiKey:
    """The one key that `project` has for the playground, made at its first use."""
    api_key, is_new = ApiKey.objects.get_or_create(
        organization=project.organization,
        project=project,
        kind=KeyKind.PLAYGROUND,
        defaults={
            "name": PLAYGROUND,
            "digest": secrets.token_bytes(32),
            "pepper_version": keys.newest_pepper_version(),
            "created_by": actor,
        },
    )
    if is_new:
        _told(actor, "api_key.create", api_key, name=PLAYGROUND, kind=KeyKind.PLAYGROUND.value)
    return api_key


def _locked(api_key: ApiKey, *, revoked_too: bool = False) -> ApiKey:
    """As it is now. ValidationError for a revoked one, unless those are asked for, too."""
    found = ApiKey.objects.select_for_update(of=("self",)).select_related(
        "organization", "project", "service_account"
    )
    api_key = found.get(pk=api_key.pk)
    if api_key.revoked_at and not revoked_too:
        raise ValidationError(_("This key is revoked. Make a new one."))
    return api_key


def _shown(api_key: ApiKey) -> dict[str, Any]:
    """What the audit trail says of a key."""
    expires_at, owner = api_key.expires_at, api_key.service_account
    scope = {field.name: getattr(api_key, f"allowed_{field.name}") for field in fields(KeyScope)}
    return {
        "name": api_key.name,
        "hint": api_key.hint,
        "service_account": owner and owner.name,
        "expires_at": expires_at and expires_at.isoformat(),
        **scope,
    }


def _told(actor: User | None, action: str, api_key: ApiKey, **facts: Any) -> None:
    audit.record(
        actor=actor, action=action, target=api_key, organization=api_key.organization, **facts
    )
    transaction.on_commit(snapshot_changed)
