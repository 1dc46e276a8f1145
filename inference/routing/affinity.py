"""Which requests belong together, and to which backend: rendezvous hashing with weights.

Requests with the same key begin alike, so that a backend has their beginning cached.

Each backend draws a number for the key, and the highest has it. Nothing is stored, and nothing
needs building when backends come and go: the draws of the others stay what they are, so a backend
that leaves moves its own keys alone, and one whose weight changes moves those it gains or loses.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import Final
from uuid import UUID

TEXT_CHARS: Final = 2048
"""Of each text, so that behind the longest system prompt the first message still counts: the rest
of a conversation is longer than what all of them share, and lies on one backend only."""
OPENING_CHARS: Final = 2 * TEXT_CHARS
LEAST_OPENING_BYTES: Final = 1024
"""A shorter one is read in a moment anywhere, and so many share it that they would swamp one."""

_MASK: Final = 2**64 - 1
_HALF: Final = 0.5
_UNIT: Final = 2.0**-52


def session_key(organization: UUID, session: str) -> int:
    """The key of requests that `organization` says are of one session; 64 bits."""
    return _hash(organization, b"session", session.encode())


def opening_key(organization: UUID, model: str, texts: Iterable[str]) -> int | None:
    """The key of prompts to `model` that begin with `texts`; None if that is too little."""
    opening = opening_of(texts)
    if len(opening) < LEAST_OPENING_BYTES:
        return None
    return _hash(organization, b"opening", model.encode() + b"\0" + opening)


def opening_of(texts: Iterable[str]) -> bytes:
    """As much of `texts` as counts."""
    pieces, left = list[str](), OPENING_CHARS
    for text in texts:
        pieces.append(text[: min(left, TEXT_CHARS)])
        left -= len(pieces[-1]) + 1
        if left <= 0:
            break
    return "\0".join(pieces).encode()


def _hash(organization: UUID, kind: bytes, data: bytes) -> int:
    """Under the organization, so that no other one can steer its requests."""
    digest = blake2b(data, digest_size=8, key=organization.bytes, person=kind)
    return int.from_bytes(digest.digest())


def draw(key: int, backend: UUID, weight: float) -> float:
    """What `backend` draws for a `key` of 64 bits; the highest draw wins.

    It wins a share of all keys in proportion to `weight`, which is above 0.
    """
    number = backend.int
    mixed = (key ^ number ^ number >> 64) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    mixed ^= mixed >> 31
    return -weight / log(((mixed >> 12) + _HALF) * _UNIT)
