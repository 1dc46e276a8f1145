"""The key that signs anchors: Ed25519, given by a setting, never in the database."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

CONTEXT: Final = b"sluice audit anchor v1\n"
"""Signed before each statement, so that no signature of another purpose fits."""


def can_sign() -> bool:
    return bool(settings.AUDIT_SIGNING_KEY)


def sign(statement: str) -> str:
    """The signature of `statement`, in base64."""
    return b64encode(_private().sign(CONTEXT + statement.encode())).decode()


def public_key() -> str:
    """The newest public key in base64; empty where no key is set."""
    return b64encode(_private().public_key().public_bytes_raw()).decode() if can_sign() else ""


def published_key() -> str:
    """What customers verify by: the newest of `trusted_keys`, empty where there is none."""
    return next(iter(trusted_keys()), "")


def trusted_keys() -> list[str]:
    """The public keys whose anchors count, newest first: of the signing key, and those that are
    named besides it.
    """
    keys = [public_key(), *settings.AUDIT_PUBLIC_KEYS]
    return [key for key in dict.fromkeys(keys) if key]


def key_id(key: str) -> str:
    """What a public key is called: the first 16 digits of its SHA-256."""
    return hashlib.sha256(b64decode(key)).hexdigest()[:16]


def is_signed(statement: str, signature: str, keys: list[str]) -> bool:
    """Whether one of the public `keys` signed `statement`."""
    return any(_fits(statement, signature, key) for key in keys)


def _fits(statement: str, signature: str, key: str) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(key))
        public.verify(b64decode(signature), CONTEXT + statement.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(b64decode(settings.AUDIT_SIGNING_KEY))
