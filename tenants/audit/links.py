"""The links of a chain, and whether they hold. Pure: no database, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

GENESIS: Final = bytes(32)
"""What the first entry of a chain follows."""


class Head(NamedTuple):
    """How far a chain is: the number and the hash of an entry."""

    seq: int
    hash: bytes


class Finding(NamedTuple):
    """Something is wrong with a chain at an entry; `what` is a sentence. 0 is the chain itself."""

    chain: UUID
    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Link:
    seq: int
    prev: bytes
    hash: bytes
    body: str


def link_hash(prev: bytes, seq: int, chain: UUID, body: str) -> bytes:
    """SHA-256 of the hash before, the number (8 bytes, big-endian), the chain (16) and the body."""
    parts = prev + seq.to_bytes(8, "big", signed=True) + chain.bytes + body.encode()
    return hashlib.sha256(parts).digest()


def links_check(chain: UUID, links: Iterable[Link]) -> Generator[Finding, None, Head]:
    """Look through the `links` of `chain`, sorted by number; returns how far they go.

    After what is wrong it goes on with what is there, so that one change is found once.
    """
    last = Head(0, GENESIS)
    for link in links:
        if what := _wrong(chain, link, last):
            yield Finding(chain, link.seq, what)
        last = Head(link.seq, link.hash)
    return last


def chain_check(chain: UUID, links: Iterable[Link], head: Head | None) -> Iterator[Finding]:
    """Look through the `links` of `chain` up to its `head`."""
    last = yield from links_check(chain, links)
    if head is None:
        if last.seq:
            yield Finding(chain, 0, "The chain has entries, and no head.")
    elif head != last:
        said = f"The chain should end with entry {head.seq}, and ends with another one: {last.seq}."
        yield Finding(chain, last.seq, said)


def _wrong(chain: UUID, link: Link, last: Head) -> str:
    """What is wrong with `link` after `last`; empty when nothing is."""
    if link.seq <= last.seq:
        return f"Entry {link.seq} is there twice."
    if link.seq > last.seq + 1:
        missing = f"{last.seq + 1} to {link.seq - 1}"
        return f"Entries are missing: {missing}."
    if link.prev != last.hash:
        return f"Entry {link.seq} does not follow the one before it."
    if link.hash != link_hash(link.prev, link.seq, chain, link.body):
        return f"Entry {link.seq} was changed."
    return ""
