"""The audit trail in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import LimitKind, Mode, Period
from console.templatetags.ui import NONE, number
from inference.models import Backend
from tenants.models import AuditEntry, Membership

ACTIONS: Final = {
    "organization.create": gettext_lazy("Organization created"),
    "organization.set_regions": gettext_lazy("Allowed regions changed"),
    "organization.set_share": gettext_lazy("Share changed"),
    "user.create": gettext_lazy("Account created"),
    "member.add": gettext_lazy("Member added"),
    "project.create": gettext_lazy("Project created"),
    "api_key.create": gettext_lazy("API key created"),
    "api_key.revoke": gettext_lazy("API key revoked"),
    "region.create": gettext_lazy("Region created"),
    "backend.register": gettext_lazy("Backend added"),
    "backend.update": gettext_lazy("Backend changed"),
    "backend.move": gettext_lazy("Backend moved"),
    "backend.set_state": gettext_lazy("Backend state changed"),
    "model.create": gettext_lazy("Model created"),
    "model.update": gettext_lazy("Model changed"),
    "model.set_card": gettext_lazy("Model card changed"),
    "model.set_routing": gettext_lazy("Routing changed"),
    "model.set_status": gettext_lazy("Model status changed"),
    "model.set_visibility": gettext_lazy("Model visibility changed"),
    "model.deploy": gettext_lazy("Model deployed"),
    "model.redeploy": gettext_lazy("Deployment changed"),
    "model.undeploy": gettext_lazy("Deployment removed"),
    "model.enable": gettext_lazy("Model enabled"),
    "model.disable": gettext_lazy("Model disabled"),
    "model.release": gettext_lazy("Model released"),
    "rate.set": gettext_lazy("Rate set"),
    "limit.set": gettext_lazy("Limit set"),
    "limit.remove": gettext_lazy("Limit removed"),
    "budget.set": gettext_lazy("Budget set"),
    "budget.remove": gettext_lazy("Budget removed"),
    "plan.create": gettext_lazy("Plan created"),
    "plan.update": gettext_lazy("Plan changed"),
    "terms.set": gettext_lazy("Terms set"),
    "credit.top_up": gettext_lazy("Payment entered"),
    "credit.grant": gettext_lazy("Credit granted"),
}
MAX_SHOWN: Final = 80
_NAMES: Final = (
    "name", "public_id", "project", "api_key", "model", "hint", "backend", "component", "role",
    "price", "kind", "value", "amount", "period", "reference", "reason", "plan", "mode",
    "credit_limit",
)  # fmt: skip
_WORDS: Final[Mapping[str, Mapping[str, str | Promise]]] = {
    name: dict(choices.choices)
    for name, choices in (("kind", LimitKind), ("period", Period), ("mode", Mode))
}
"""For values that are no words themselves; of others nothing is said."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happened, to what, by whom and when."""

    what: str
    details: str
    who: str
    moment: datetime


def trail_read(entries: QuerySet[AuditEntry], limit: int) -> list[Line]:
    """The latest `limit` of `entries`, newest first. Three queries at most."""
    found = list(entries.select_related("actor")[:limit])
    names = _backend_names(found) | _member_names(found)
    return [_line(entry, names) for entry in found]


def _line(entry: AuditEntry, names: dict[str, str]) -> Line:
    return Line(
        what=str(ACTIONS.get(entry.action, entry.action)),
        details=" · ".join(_details(entry, names)),
        who=str(entry.actor or _("Sluice itself")),
        moment=entry.created_at,
    )


def _details(entry: AuditEntry, names: dict[str, str]) -> list[str]:
    details = [shown for name in _NAMES if (shown := _detail(name, entry.data.get(name)))]
    if entry.target_id in names:
        details.insert(0, names[entry.target_id])
    return details + changes_of(entry)


def _detail(name: str, value: Any) -> str:
    if name in _WORDS:
        return str(_WORDS[name].get(value, ""))
    return number(value) if isinstance(value, int) else str(value or "")


def changes_of(entry: AuditEntry) -> list[str]:
    """What became of each field; where there was only one, without its name."""
    data = entry.data
    changes = {"": (data["before"], data["after"])} if "before" in data else {}
    changes |= data.get("changes", {})
    return [_change(name, before, after) for name, (before, after) in changes.items()]


def _change(name: str, before: Any, after: Any) -> str:
    """What became of a field; a long text only by its name."""
    label = name.replace("_", " ")
    shown = f"{_value(before)} → {_value(after)}"
    return f"{label} {shown}".strip() if len(shown) <= MAX_SHOWN else label


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or NONE
    return NONE if value is None or value == "" else str(value)


def _backend_names(entries: Sequence[AuditEntry]) -> dict[str, str]:
    ids = {e.target_id for e in entries if e.target_type == "backend" and "name" not in e.data}
    rows = Backend.objects.filter(pk__in=ids).values_list("pk", "name") if ids else ()
    return {str(pk): name for pk, name in rows}


def _member_names(entries: Sequence[AuditEntry]) -> dict[str, str]:
    ids = {entry.target_id for entry in entries if entry.action == "member.add"}
    rows = Membership.objects.filter(pk__in=ids).select_related("user") if ids else ()
    return {str(member.pk): str(member.user) for member in rows}
