"""Forgetting a person: their key goes, the chain stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import transaction
from django.utils import timezone

from tenants.audit.personal import subject_of
from tenants.audit.recording import record
from tenants.models import PersonKey, User


@transaction.atomic
def person_erase(*, actor: User | None, user: User) -> int:
    """Make what the trail says of `user` unreadable for good; returns how many keys went.

    Entries stay and still verify: who acted is a number from then on. Doing it again does nothing.
    """
    gone = _forget([subject_of(user), subject_of(user.email)])
    if gone:
        record(actor=actor, action="person.erase", target=user, keys=gone)
    return gone


@transaction.atomic
def addresses_erase(*, actor: User | None, emails: Collection[str]) -> int:
    """The same for addresses that have no account."""
    gone = _forget(map(subject_of, emails))
    if gone:
        record(actor=actor, action="person.erase", target=None, keys=gone)
    return gone


def _forget(subjects: Iterable[str]) -> int:
    keys = PersonKey.objects.filter(subject__in=list(subjects), erased_at=None)
    return keys.update(sealed=b"", erased_at=timezone.now())
