"""API keys and admin keys: mint, check and digest. Pure functions.

A key is `sluice_sk_` or `sluice_ak_`, 43 base62 characters of secret (256 bits) and 6 base62
characters of CRC-32 over all before, so that a scanner or the gateway can refuse junk without a
lookup.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterator
from typing import Final

from django.conf import settings

PREFIX: Final = "sluice_sk_"
ADMIN_PREFIX: Final = "sluice_ak_"
PATTERN: Final = re.compile(r"sluice_[as]k_[0-9A-Za-z]{49}")
"""Of both kinds; it is published, so that scanners of code find keys."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_SECRET_CHARS: Final = 43
_CHECKSUM_CHARS: Final = 6
_HINT_CHARS: Final = len(PREFIX) + 4


def key_mint(prefix: str = PREFIX) -> str:
    """A new random key, in the clear."""
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
    return body + _checksum(body)


def key_is_well_formed(key: str) -> bool:
    """Whether it has the shape and the checksum of a key of any kind; nothing of its existence."""
    return PATTERN.fullmatch(key) is not None and hmac.compare_digest(
        key[-_CHECKSUM_CHARS:], _checksum(key[:-_CHECKSUM_CHARS])
    )


def key_digest(key: str, pepper_version: int | None = None) -> bytes:
    """The 32-byte HMAC-SHA256 of `key`, under the newest pepper unless told."""
    version = newest_pepper_version() if pepper_version is None else pepper_version
    return hmac.digest(settings.API_KEY_PEPPERS[version], key.encode(), "sha256")


def key_digests(key: str) -> Iterator[bytes]:
    """Its digest under each pepper, newest first: one of them is stored, if it exists."""
    for version in sorted(settings.API_KEY_PEPPERS, reverse=True):
        yield key_digest(key, version)


def key_hint(key: str) -> str:
    """The part of `key` that pages may show."""
    return key[:_HINT_CHARS] + "…"


def newest_pepper_version() -> int:
    return max(settings.API_KEY_PEPPERS)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
