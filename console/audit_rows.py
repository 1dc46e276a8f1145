"""The lines of the audit pages: entries with the names of what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from console.audit_words import (
    NAMES,
    Change,
    action_said,
    changes_of,
    changes_said,
    facts_of,
    value_said,
    who_said,
)
from inference.models import Backend
from tenants.audit import ERASED, KEY_ACTS, personal_open
from tenants.models import AdminKey, AuditEntry, Membership


@dataclass(frozen=True, slots=True)
class Row:
    """One entry: in a line what was done to what, and all that is known of it below."""

    entry: AuditEntry
    what: str
    details: str
    who: str
    changes: Sequence[Change]
    facts: Sequence[tuple[str, str]]
    origin: Sequence[tuple[str, str]]

    @property
    def hash(self) -> str:
        return bytes(self.entry.hash).hex()


def audit_rows(entries: Sequence[AuditEntry], *, to_staff: bool) -> list[Row]:
    """Four queries at most, whatever their number."""
    names, personal = names_of(entries), personal_open(entries, to_staff=to_staff)
    return [_row(entry, names, personal[entry.pk]) for entry in entries]


def details_of(entry: AuditEntry, names: dict[str, str], told: dict[str, Any]) -> str:
    """What an entry is about, in a few words. `told` are its facts."""
    details = [value_said(told[name], name) for name in NAMES if told.get(name)]
    if entry.target_id in names:
        details.insert(0, names[entry.target_id])
    said = [*details, *filter(None, [entry.reason]), *changes_said(entry)]
    return " · ".join({one.casefold(): one for one in said}.values())


def names_of(entries: Sequence[AuditEntry]) -> dict[str, str]:
    """What backends, members and admin keys that acted are called, by their ids."""
    backends = {e.target_id for e in entries if e.target_type == "backend" and "name" not in e.data}
    members = {entry.target_id for entry in entries if entry.target_type == "membership"}
    keys = {entry.auth.removeprefix(KEY_ACTS) for entry in entries if _is_of_key(entry)}
    return _backend_names(backends) | _member_names(members) | _admin_key_names(keys)


def _row(entry: AuditEntry, names: dict[str, str], personal: dict[str, Any]) -> Row:
    return Row(
        entry=entry,
        what=action_said(entry.action),
        details=details_of(entry, names, entry.data | personal),
        who=_who(entry, names),
        changes=changes_of(entry),
        facts=facts_of(entry, personal),
        origin=_origin(entry, personal),
    )


def _is_of_key(entry: AuditEntry) -> bool:
    return entry.auth.startswith(KEY_ACTS)


def _who(entry: AuditEntry, names: dict[str, str]) -> str:
    if not _is_of_key(entry):
        return who_said(entry)
    name = names.get(entry.auth.removeprefix(KEY_ACTS), _("deleted"))
    return _("Admin key %(name)s") % {"name": name}


def _origin(entry: AuditEntry, personal: dict[str, Any]) -> list[tuple[str, str]]:
    """Where it came from, as far as that is known and not erased."""
    gone = _("erased") if ERASED in personal else ""
    told = (
        (_("Reason"), entry.reason),
        (_("Address"), personal.get("ip", gone)),
        (_("Browser"), personal.get("user_agent", gone)),
        (_("Logged in by"), "" if _is_of_key(entry) else entry.auth.replace("+", " + ")),
        (_("Request"), entry.request_id),
    )
    return [(label, value) for label, value in told if value]


def _backend_names(ids: set[str]) -> dict[str, str]:
    rows = Backend.objects.filter(pk__in=ids).values_list("pk", "name") if ids else ()
    return {str(pk): name for pk, name in rows}


def _admin_key_names(ids: set[str]) -> dict[str, str]:
    rows = AdminKey.objects.filter(pk__in=ids).values_list("pk", "name") if ids else ()
    return {str(pk): name for pk, name in rows}


def _member_names(ids: set[str]) -> dict[str, str]:
    rows = Membership.objects.filter(pk__in=ids).select_related("user") if ids else ()
    return {str(member.pk): str(member.user) for member in rows}
