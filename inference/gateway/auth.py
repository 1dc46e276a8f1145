"""Who asks: from the headers of a request to the entry of its API key in the snapshot."""

from __future__ import annotations

import hashlib
import hmac
import time
from functools import cache
from typing import Final
from uuid import UUID

from django.conf import settings

from inference.gateway.errors import (
    AdminKeyRefused,
    InvalidApiKey,
    InvalidRequest,
    KeyMayNot,
    OrganizationStopped,
)
from inference.gateway.handler import GatewayRequest
from inference.snapshot import KeyEntry, Snapshot
from tenants.keys import ADMIN_PREFIX, key_digests, key_is_well_formed
from tenants.tokens import token_read

_BEARER: Final = "bearer"
_NO_KEY: Final = "not a bearer token:"
_PLAIN_HEADERS: Final = (b"x-api-key", b"api-key")


class ApiKeyAuthentication:
    """DRF's authentication by API key, awaited."""

    async def authenticate(self, request: GatewayRequest) -> tuple[None, KeyEntry]:
        """The entry of the key; there is no user.

        Raises InvalidApiKey, InvalidRequest, OrganizationStopped, and KeyMayNot from outside of its
        networks.
        """
        snapshot = request.gateway.keeper.snapshot
        credential = credential_read(request)
        entry = key_entry(snapshot, credential) if credential else None
        if entry is None or entry.ends_at <= time.time():
            refusal = AdminKeyRefused if _is_admin_key(credential) else InvalidApiKey
            raise refusal(headers={"WWW-Authenticate": self.authenticate_header(request)})
        if entry.stopped:
            raise OrganizationStopped.by(entry.stopped)
        peer = request.peer
        if not entry.scope.takes_from(peer):
            raise KeyMayNot.come_from(peer)
        request.gateway.figures.came(entry.digest, peer)
        return None, entry

    def authenticate_header(self, request: GatewayRequest) -> str:
        return 'Bearer realm="sluice"'


class HasKey:
    """DRF's permission: only with a key that was found."""

    async def has_permission(self, request: GatewayRequest, view: object) -> bool:
        return request.auth is not None


def credential_read(request: GatewayRequest) -> str:
    """The one credential in all headers that may carry one; empty without."""
    found = {_token(value) for value in request.header_values(b"authorization")}
    found |= {value.strip() for name in _PLAIN_HEADERS for value in request.header_values(name)}
    found.discard("")
    if len(found) > 1:
        text = "The request carries two different credentials. Send one."
        raise InvalidRequest(text, code="conflicting_credentials")
    return found.pop() if found else ""


def _token(authorization: str) -> str:
    """The token of `Bearer <token>`; what has no scheme, or another, is no key."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == _BEARER else f"{_NO_KEY} {authorization}"


def key_entry(snapshot: Snapshot, key: str) -> KeyEntry | None:
    """The entry of `key` under any pepper; junk is refused by its checksum, without a lookup."""
    if not key_is_well_formed(key):
        return _playground_entry(snapshot, key)
    for digest in key_digests(key):
        if entry := snapshot.keys.get(digest):
            return entry
    return None


def _is_admin_key(credential: str) -> bool:
    return credential.startswith(ADMIN_PREFIX) and key_is_well_formed(credential)


def _playground_entry(snapshot: Snapshot, token: str) -> KeyEntry | None:
    claims = token_read(token)
    return snapshot.playground_keys.get(claims.api_key_id) if claims else None


def may_scrape(authorization: str) -> bool:
    """Whether a request with this header may read the metrics: anyone, unless a token is set."""
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    is_right = hmac.compare_digest(authorization.encode(), wanted.encode())
    return not settings.METRICS_TOKEN or is_right


@cache
def cache_salt(organization_id: UUID) -> str:
    """What keeps one organization's cached prefixes apart from all others', on every engine."""
    secret = hashlib.sha256(b"cache salt:" + settings.SECRET_KEY.encode()).digest()
    return hmac.digest(secret, organization_id.bytes, "sha256").hex()
