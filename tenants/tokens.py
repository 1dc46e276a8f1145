"""Tokens of the playground: what the console calls `/v1` with for a person. Pure functions.

A token is `sluice_pt_` and URL-safe base64 of the id of the project's playground key (16 bytes),
the id of the user (8), when it expires (8, unix seconds), two bytes of nothing (without them the
base64 could be written in two ways) and an HMAC-SHA256 of it all (32). It is kept nowhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
import time
from typing import Final, NamedTuple
from uuid import UUID

from django.conf import settings

PREFIX: Final = "sluice_pt_"
TTL_S: Final = 120

_CLAIMS: Final = struct.Struct("!16sQQ2x")
_SIGNATURE_BYTES: Final = 32
_ENCODED_CHARS: Final = (_CLAIMS.size + _SIGNATURE_BYTES) // 3 * 4


class Claims(NamedTuple):
    """Who calls: through which playground key, and which person. `expires` in unix seconds."""

    api_key_id: UUID
    user_id: int
    expires: int


def token_mint(api_key_id: UUID, user_id: int, ttl_s: int = TTL_S) -> str:
    claims = _CLAIMS.pack(api_key_id.bytes, user_id, int(time.time()) + ttl_s)
    return PREFIX + base64.urlsafe_b64encode(claims + _signature(claims)).decode()


def token_read(token: str) -> Claims | None:
    """What `token` says; None when it is forged, broken or expired."""
    raw = _decoded(token)
    claims, signature = raw[: _CLAIMS.size], raw[_CLAIMS.size :]
    if not hmac.compare_digest(signature, _signature(claims)):
        return None
    api_key, user_id, expires = _CLAIMS.unpack(claims)
    return Claims(UUID(bytes=api_key), user_id, expires) if time.time() < expires else None


def _decoded(token: str) -> bytes:
    """The bytes of `token`; none when it cannot be one."""
    encoded = token.removeprefix(PREFIX)
    if not token.startswith(PREFIX) or len(encoded) != _ENCODED_CHARS or not encoded.isascii():
        return b""
    try:
        return base64.b64decode(encoded, altchars=b"-_", validate=True)
    except binascii.Error:
        return b""


def _signature(claims: bytes) -> bytes:
    secret = hashlib.sha256(b"playground token:" + settings.SECRET_KEY.encode()).digest()
    return hmac.digest(secret, claims, "sha256")
