"""The latest lines of the audit trail, for the pages of what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from console.audit_rows import details_of, names_of
from console.audit_words import action_said, who_said
from tenants.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Line:
    """What happened, to what, by whom and when."""

    what: str
    details: str
    who: str
    moment: datetime


def trail_read(entries: QuerySet[AuditEntry], limit: int) -> list[Line]:
    """The latest `limit` of `entries`, newest first. Three queries at most."""
    found = list(entries.select_related("actor", "on_behalf_of")[:limit])
    names = names_of(found)
    return [_line(entry, names) for entry in found]


def _line(entry: AuditEntry, names: dict[str, str]) -> Line:
    return Line(
        what=action_said(entry.action),
        details=details_of(entry, names, entry.data),
        who=who_said(entry),
        moment=entry.created_at,
    )
