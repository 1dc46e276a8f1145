"""A chain as a file that anyone can verify without us: JSON lines, with a proof at the end.

The first line says what it is; then a line for each entry, with its `seq`, its `hash` and its
`body`, exactly as it was hashed, and what `personal` facts say in the clear; the last line is the
proof: the head, and the latest anchor that the chain is in, with the Merkle path from the anchored
entry up to the signed root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from tenants.audit import merkle, signing
from tenants.audit.anchors import anchor_latest, heads_at, leaves_of
from tenants.audit.links import GENESIS, Finding, Head, Link, links_check
from tenants.audit.personal import personal_open
from tenants.models import AuditEntry

FORMAT: Final = "sluice-audit-1"
AT_ONCE: Final = 500


def export_lines(chain: UUID, *, name: str, to_staff: bool = False) -> Iterator[str]:
    """The whole of `chain`, of the organization called `name`. Reads as it goes."""
    anchor = _anchored(chain)  # first, so that what it is about is among the entries
    yield _line(format=FORMAT, chain=str(chain), name=name, exported_at=timezone.now().isoformat())
    head = Head(0, GENESIS)
    entries = AuditEntry.objects.filter(chain=chain).select_related("actor").order_by("seq")
    while some := list(entries.filter(seq__gt=head.seq)[:AT_ONCE]):
        yield _entries(some, personal_open(some, to_staff=to_staff))
        head = Head(some[-1].seq, bytes(some[-1].hash))
    yield _line(proof={"head": _pair(head), "anchor": anchor})


def _entries(some: Sequence[AuditEntry], opened: Mapping[int, dict[str, Any]]) -> str:
    """A line for each, with what it says of people where that can still be read."""
    return "".join(
        _line(seq=one.seq, hash=bytes(one.hash).hex(), body=one.body, personal=opened[one.pk])
        for one in some
    )


def export_check(lines: Iterable[str], keys: list[str]) -> tuple[str, Head, int, list[Finding]]:
    """Look through an export that the public `keys` should have signed.

    Returns its name, its head, the number of the entry that is anchored (0 for none), and what is
    wrong. Raises ValueError for a file that is no export.
    """
    try:
        reader = _Reader(lines)
        findings = list(links_check(reader.chain, reader.links()))
        findings += reader.proof_check(keys)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("A line of the file is not of this format.") from error
    return reader.name, reader.head, reader.anchored, findings


class _Reader:
    """An export, read once from its beginning."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        first = _read(next(self._lines, ""))
        if first.get("format") != FORMAT:
            raise ValueError(
                f"This is no export of an audit trail: its first line has no {FORMAT}."
            )
        self.chain, self.name = UUID(first["chain"]), str(first["name"])
        self.head, self.anchored = Head(0, GENESIS), 0
        self._hashes: dict[int, bytes] = {}
        self._proof: dict[str, Any] = {}

    def links(self) -> Iterator[Link]:
        for line in self._lines:
            read = _read(line)
            if "proof" in read:
                self._proof = read["proof"]
                return
            hash_ = bytes.fromhex(read["hash"])
            yield Link(read["seq"], self.head.hash, hash_, read["body"])
            self.head = Head(read["seq"], hash_)
            self._hashes[read["seq"]] = hash_

    def proof_check(self, keys: list[str]) -> Iterator[Finding]:
        if not self._proof:
            yield Finding(self.chain, 0, "The file ends before its proof.")
            return
        if _head(self._proof["head"]) != self.head:
            yield Finding(self.chain, self.head.seq, "The last entry is not the head of the proof.")
        anchor = self._proof["anchor"]
        if anchor is None:
            return
        head = _head(anchor["head"])
        self.anchored = head.seq
        if self._hashes.get(head.seq) != head.hash:
            said = f"Entry {head.seq} is not the one that was anchored."
            yield Finding(self.chain, head.seq, said)
        if not signing.is_signed(anchor["statement"], anchor["signature"], keys):
            yield Finding(self.chain, 0, "The anchor is not signed by a key that counts.")
        if not self._is_in(anchor, head):
            yield Finding(self.chain, 0, "The entry is not in the root of the anchor.")

    def _is_in(self, anchor: dict[str, Any], head: Head) -> bool:
        steps = [merkle.Step(side, bytes.fromhex(hash_)) for side, hash_ in anchor["path"]]
        found = merkle.climbed(merkle.leaf(self.chain, head), steps)
        return bool(found.hex() == json.loads(anchor["statement"])["root"])


def _anchored(chain: UUID) -> dict[str, Any] | None:
    """The latest anchor with the way from `chain` up to its root; None where it is in none yet."""
    anchor = anchor_latest()
    heads = heads_at(anchor.number) if anchor else {}
    if anchor is None or chain not in heads:
        return None
    steps = merkle.path(leaves_of(heads), sorted(heads).index(chain))
    path = [[step.side, step.hash.hex()] for step in steps]
    return {**anchor.signed_part, "head": _pair(heads[chain]), "path": path}


def _pair(head: Head) -> list[Any]:
    return [head.seq, head.hash.hex()]


def _head(pair: list[Any]) -> Head:
    return Head(int(pair[0]), bytes.fromhex(pair[1]))


def _line(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"


def _read(line: str) -> dict[str, Any]:
    read = json.loads(line) if line.strip() else {}
    if not isinstance(read, dict):
        raise ValueError("A line of the file is no JSON object.")
    return read
