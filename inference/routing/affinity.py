"""Which backend a key belongs to: rendezvous hashing with weights.

Each backend draws a number for the key, and the highest has it. Nothing is stored, and nothing
needs building when backends come and go: the draws of the others stay what they are, so a backend
that leaves moves its own keys alone, and one whose weight changes moves those it gains or loses.
"""

from __future__ import annotations

from math import log
from typing import Final
from uuid import UUID

_MASK: Final = 2**64 - 1
_HALF: Final = 0.5
_UNIT: Final = 2.0**-52


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
