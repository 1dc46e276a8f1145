"""The links of invitations: signed, so that only a mail of ours has one. Pure functions.

A token holds the invitation's id and how many times it was sent; what is kept of it is the row.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from django.core import signing

_SALT: Final = "tenants.invitation"


class Link(NamedTuple):
    """Which invitation a token is of, and which of its mails."""

    invitation_id: UUID
    serial: int


def token_mint(invitation_id: UUID, serial: int) -> str:
    return signing.dumps([invitation_id.hex, serial], salt=_SALT)


def token_read(token: str) -> Link | None:
    """What `token` says; None when it is not ours."""
    try:
        invitation_id, serial = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    return Link(UUID(hex=invitation_id), serial)
