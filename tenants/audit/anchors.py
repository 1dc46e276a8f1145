"""Anchors: what all chains are at one time, signed and kept elsewhere.

Whoever owns the database can write a chain anew from its beginning, and it links. They cannot
write what an anchor said before: so a chain is compared with its anchors.

A document is JSON of `statement`, the text that was signed (number, time, digest of the document
before, Merkle root and count of chains), `signature`, `key` (its id) and `heads`, those that have
moved since the anchor before. With all documents the root of each can be computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from tenants.audit import merkle, signing
from tenants.audit.links import GENESIS, Head
from tenants.audit.stores import AnchorStore, anchor_store
from tenants.models import AnchoredHead, AuditAnchor, AuditHead

type Heads = Mapping[UUID, Head]

LOCK: Final = 7_236_105
"""PostgreSQL's advisory lock under which anchors are made, one at a time."""

# The root is of all chains, so the head of each is read, moved or not: by the index, from chain to
# chain the last row of each, and not all rows since the first anchor.
_HEADS: Final = """
WITH RECURSIVE known AS (
    (SELECT chain FROM tenants_anchoredhead ORDER BY chain LIMIT 1)
    UNION ALL
    SELECT (SELECT chain FROM tenants_anchoredhead WHERE chain > known.chain ORDER BY chain LIMIT 1)
    FROM known WHERE known.chain IS NOT NULL
)
SELECT known.chain, latest.seq, latest.hash
FROM known CROSS JOIN LATERAL (
    SELECT seq, hash FROM tenants_anchoredhead
    WHERE chain = known.chain AND anchor_id <= %s ORDER BY anchor_id DESC LIMIT 1
) AS latest
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A document as it was written. `moved` are the heads that it holds."""

    number: int
    at: datetime
    previous: bytes
    root: bytes
    chains: int
    statement: str
    signature: str
    key: str
    moved: Heads
    document: str

    @classmethod
    def read(cls, document: str) -> Self:
        """Raises ValueError for what is no anchor."""
        try:
            parts = json.loads(document)
            said = json.loads(parts["statement"])
            return cls(
                number=int(said["number"]),
                at=datetime.fromisoformat(said["at"]),
                previous=bytes.fromhex(said["previous"]),
                root=bytes.fromhex(said["root"]),
                chains=int(said["chains"]),
                statement=parts["statement"],
                signature=parts["signature"],
                key=parts["key"],
                moved={UUID(one): Head(seq, bytes.fromhex(h)) for one, seq, h in parts["heads"]},
                document=document,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("This is no anchor.") from error

    @property
    def digest(self) -> bytes:
        """What the next one says of this one."""
        return hashlib.sha256(self.document.encode()).digest()

    @property
    def is_signed(self) -> bool:
        """By a key that counts."""
        return signing.is_signed(self.statement, self.signature, signing.trusted_keys())

    @property
    def signed_part(self) -> dict[str, str]:
        """Statement, signature and key: what proves it, without the heads of others."""
        return {"statement": self.statement, "signature": self.signature, "key": self.key}


def leaves_of(heads: Heads) -> list[bytes]:
    """Of all chains, sorted by their ids: what the root is made of."""
    return [merkle.leaf(chain, heads[chain]) for chain in sorted(heads)]


def heads_now() -> dict[UUID, Head]:
    """Of all chains, as one moment sees them."""
    rows = AuditHead.objects.values_list("chain", "seq", "hash")
    return {chain: Head(seq, bytes(hash_)) for chain, seq, hash_ in rows}


def heads_at(number: int) -> dict[UUID, Head]:
    """Of all chains, as the anchor `number` has them."""
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, [number])
        return {chain: Head(seq, bytes(hash_)) for chain, seq, hash_ in cursor.fetchall()}


def anchor_latest() -> Anchor | None:
    row = AuditAnchor.objects.order_by("-number").first()
    return Anchor.read(row.document) if row else None


@transaction.atomic
def anchor_make() -> Anchor | None:
    """Sign what all chains are now, and keep it elsewhere; None without a key to sign with.

    It is on record here only when it is kept there. What is kept there and not on record here (a
    crash, a database of before) is taken over first: nothing that was anchored is forgotten.
    """
    if not signing.can_sign():
        return None
    _lock()
    store = anchor_store()
    last = _taken_over(anchor_latest(), store)
    heads, before = heads_now(), heads_at(last.number) if last else {}
    moved = {chain: head for chain, head in heads.items() if before.get(chain) != head}
    anchor = _signed(last, {**before, **heads}, moved)
    store.write(anchor.number, anchor.document)
    return _kept(anchor)


def anchors_stored(
    store: AnchorStore, numbers: Iterable[int], known: Mapping[int, str]
) -> Iterator[tuple[int, Anchor | None]]:
    """Those that are kept elsewhere, by number; None for what is no anchor.

    `known` are documents that need not be read again.
    """
    for number in numbers:
        try:
            yield number, Anchor.read(known.get(number) or store.read(number) or "")
        except ValueError:
            yield number, None


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _taken_over(last: Anchor | None, store: AnchorStore) -> Anchor | None:
    """The last anchor, when those are on record that only the store knew of."""
    number = last.number + 1 if last else 1
    while (document := store.read(number)) is not None:
        log.warning("audit.anchor_taken_over", number=number)
        last = _kept(Anchor.read(document))
        number += 1
    return last


def _signed(last: Anchor | None, heads: Heads, moved: Heads) -> Anchor:
    said: dict[str, Any] = {
        "number": last.number + 1 if last else 1,
        "at": timezone.now().isoformat(),
        "previous": (last.digest if last else GENESIS).hex(),
        "root": merkle.root(leaves_of(heads)).hex(),
        "chains": len(heads),
    }
    statement = json.dumps(said)
    document = {
        "statement": statement,
        "signature": signing.sign(statement),
        "key": signing.key_id(signing.public_key()),
        "heads": [[str(one), moved[one].seq, moved[one].hash.hex()] for one in sorted(moved)],
    }
    return Anchor.read(json.dumps(document))


def _kept(anchor: Anchor) -> Anchor:
    row = AuditAnchor.objects.create(number=anchor.number, at=anchor.at, document=anchor.document)
    AnchoredHead.objects.bulk_create(
        AnchoredHead(anchor=row, chain=chain, seq=head.seq, hash=head.hash)
        for chain, head in anchor.moved.items()
    )
    return anchor
