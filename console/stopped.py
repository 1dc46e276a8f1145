"""What it means for its members that an organization is stopped."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from tenants.models import Organization, OrganizationState


def why_stopped(organization: Organization) -> str:
    """Of an organization that is not active, what that means for its members."""
    return str(_STOPPED[OrganizationState(organization.state)]) % {"name": organization}


_STOPPED: Final = {
    OrganizationState.WAITING: _("%(name)s waits until an administrator lets it in."),
    OrganizationState.REFUSED: _("%(name)s was not let in."),
    OrganizationState.SUSPENDED: _(
        "%(name)s is suspended: its requests are refused, and its pages are for reading."
    ),
    OrganizationState.ARCHIVED: _(
        "%(name)s is archived: its requests are refused, and its pages are for reading."
    ),
    OrganizationState.DELETED: _(
        "%(name)s is deleted: its requests are refused, and its pages are for reading."
    ),
    OrganizationState.ERASED: _("%(name)s is erased."),
}
