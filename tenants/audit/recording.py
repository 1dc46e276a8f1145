"""The only writer of the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models

from tenants import tenancy
from tenants.audit.context import Origin, origin
from tenants.audit.personal import personal_seal, subject_of
from tenants.audit.redaction import MAX_TEXT, personal_split, redacted
from tenants.models import AuditEntry, Organization, User


def record(
    *,
    actor: User | None,
    action: str,
    target: models.Model | None,
    organization: Organization | None = None,
    reason: str = "",
    about: User | str | None = None,
    **data: Any,
) -> AuditEntry:
    """Put `action` on record, in the transaction of the act itself.

    `actor` is None for the platform's own acts, and for strangers'; `organization` is None for acts
    on the platform, and `target` where it is nothing that we have.
    `data` holds JSON values and never a secret or a prompt. What it says of a person (`email`,
    `person`, `ip`) is encrypted under the key of whom it is `about`: an account, an e-mail
    address, else the actor. Who records in two chains begins with the organization's.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An audit entry belongs to the transaction of the act it records.")
    here = origin()
    rest, personal = personal_split(data)
    facts = {
        "action": action,
        "actor": actor and actor.pk,
        "on_behalf_of": here.on_behalf_of and here.on_behalf_of.pk,
        "target_type": (target and target._meta.model_name) or "",
        "target_id": str(target.pk) if target else "",
        "data": redacted(rest),
        "personal": personal_seal(_by_person(actor, about, personal, here)),
        "auth": here.auth()[:50],
        "request_id": here.request_id[:36],
        "reason": (reason or here.reason)[:MAX_TEXT].replace("\0", "\ufffd"),
    }
    return _append(organization, facts)


def record_of_person(*, actor: User | None, action: str, person: User, **data: Any) -> None:
    """Put what concerns an account on record wherever its people look for it.

    That is in each organization that the person is a member of; the platform's for staff and for
    those who are nowhere.
    """
    with tenancy.also_as(person.pk):
        chains: list[Organization | None] = [*Organization.objects.for_user(person).order_by("pk")]
    for organization in chains or [None]:
        record(
            actor=actor,
            action=action,
            target=person,
            organization=organization,
            about=person,
            **data,
        )


def _append(organization: Organization | None, facts: Mapping[str, Any]) -> AuditEntry:
    text = json.dumps(facts, cls=DjangoJSONEncoder)
    of = organization and organization.pk
    [entry] = AuditEntry.objects.raw("SELECT * FROM audit_append(%s, %s::jsonb)", [of, text])
    return entry


def _by_person(
    actor: User | None, about: User | str | None, personal: Mapping[str, Any], here: Origin
) -> dict[str, dict[str, Any]]:
    """Facts about people, by the subject of their key: where the actor sits, and `personal`."""
    seat = {"ip": here.ip, "user_agent": here.user_agent[:MAX_TEXT]}
    facts = {subject_of(actor): {name: value for name, value in seat.items() if value}}
    person = about or personal.get("email") or actor
    facts.setdefault(subject_of(person), {}).update(redacted(personal))
    return {subject: own for subject, own in facts.items() if own}
