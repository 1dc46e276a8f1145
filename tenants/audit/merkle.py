"""One hash over many heads, and the short proof that a head is in it. As in RFC 6962, 2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from tenants.audit.links import Head

type Side = Literal["left", "right"]


class Step(NamedTuple):
    """A hash to put at one side of what has been hashed so far."""

    side: Side
    hash: bytes


def leaf(chain: UUID, head: Head) -> bytes:
    parts = chain.bytes + head.seq.to_bytes(8, "big", signed=True) + head.hash
    return hashlib.sha256(b"\x00" + parts).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Of no leaves it is the hash of nothing."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    split = _split(leaves)
    return _node(root(leaves[:split]), root(leaves[split:]))


def path(leaves: Sequence[bytes], at: int) -> list[Step]:
    """The way from the leaf `at` up to the root."""
    if len(leaves) < 2:
        return []
    split = _split(leaves)
    if at < split:
        return [*path(leaves[:split], at), Step("right", root(leaves[split:]))]
    return [*path(leaves[split:], at - split), Step("left", root(leaves[:split]))]


def climbed(start: bytes, steps: Sequence[Step]) -> bytes:
    """The root that `start` comes to by `steps`."""
    for side, other in steps:
        start = _node(other, start) if side == "left" else _node(start, other)
    return start


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(leaves: Sequence[bytes]) -> int:
    """The largest power of two that is smaller than their count."""
    return 1 << (len(leaves) - 1).bit_length() - 1
