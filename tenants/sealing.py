"""Secrets at rest: Fernet under keys that can be rotated, newest first."""

from __future__ import annotations

from functools import cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


@cache
def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def seal(secret: str) -> bytes:
    """`secret` encrypted; the empty string stays empty."""
    return _fernet().encrypt(secret.encode()) if secret else b""


def unseal(sealed: bytes) -> str:
    return _fernet().decrypt(sealed).decode() if sealed else ""
