"""Facts about people in the trail: encrypted under a key per person, which can be erased.

The chain is over the cipher text, so that it holds without the key.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.utils import timezone
from django.utils.crypto import salted_hmac

from tenants.models import AuditEntry, PersonKey, User
from tenants.sealing import seal, unseal

NONCE_BYTES: Final = 12
SEAT: Final = frozenset({"ip", "user_agent"})
ERASED: Final = "erased"
"""The name under which a reader is told that there were facts about someone."""


def subject_of(person: User | str | None) -> str:
    """Whose key: of an account, of an e-mail address without one, or of this month's strangers."""
    if isinstance(person, User):
        return f"user:{person.pk}"
    if person:
        digest = salted_hmac("tenants.audit.personal", person.lower(), algorithm="sha256")
        return f"email:{digest.hexdigest()}"
    return f"strangers:{timezone.now():%Y-%m}"


def personal_seal(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The facts of each subject, encrypted, by the id of its key."""
    sealed = {}
    for subject, own in facts.items():
        key = _key_of(subject)
        nonce, text = os.urandom(NONCE_BYTES), json.dumps(own, ensure_ascii=False)
        cipher = AESGCM(_opened(key)).encrypt(nonce, text.encode(), key.pk.bytes)
        sealed[str(key.pk)] = b64encode(nonce + cipher).decode()
    return sealed


def personal_open(
    entries: Iterable[AuditEntry], *, to_staff: bool = False
) -> dict[int, dict[str, Any]]:
    """The facts about people in each of `entries`, by its id. One query.

    Where staff sits is for staff to know: customers read who it was, and why.
    """
    entries = list(entries)
    ids = {UUID(key) for entry in entries for key in entry.personal}
    keys = {str(key.pk): key for key in PersonKey.objects.filter(pk__in=ids)} if ids else {}
    facts = {entry.pk: _facts(entry.personal, keys) for entry in entries}
    for entry in entries:
        if not to_staff and entry.actor and entry.actor.is_staff:
            facts[entry.pk] = {n: v for n, v in facts[entry.pk].items() if n not in SEAT}
    return facts


def _facts(personal: Mapping[str, str], keys: Mapping[str, PersonKey]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for id_, cipher in personal.items():
        key = keys.get(id_)
        facts |= _decrypted(key, cipher) if key and key.erased_at is None else {ERASED: True}
    return facts


def _decrypted(key: PersonKey, cipher: str) -> dict[str, Any]:
    """What was encrypted; for a cipher text that was tampered with, that it cannot be read."""
    try:
        raw = b64decode(cipher, validate=True)
        text = AESGCM(_opened(key)).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], key.pk.bytes)
    except (InvalidTag, ValueError):
        return {ERASED: True}
    facts: dict[str, Any] = json.loads(text)
    return facts


def _key_of(subject: str) -> PersonKey:
    if key := PersonKey.objects.filter(subject=subject, erased_at=None).first():
        return key
    sealed = seal(b64encode(AESGCM.generate_key(256)).decode())
    PersonKey.objects.bulk_create(
        [PersonKey(subject=subject, sealed=sealed)], ignore_conflicts=True
    )
    return PersonKey.objects.get(subject=subject, erased_at=None)


def _opened(key: PersonKey) -> bytes:
    return b64decode(unseal(bytes(key.sealed)))
