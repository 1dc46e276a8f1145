"""Whether the trail is as it was written: all chains, and all anchors against them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain as joined
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django.utils import timezone

from tenants.audit.anchors import Anchor, anchors_stored, heads_now, leaves_of
from tenants.audit.links import GENESIS, Finding, Head, Link, chain_check
from tenants.audit.merkle import root
from tenants.audit.stores import AnchorStore, anchor_store
from tenants.models import PLATFORM, AuditAnchor, AuditEntry, AuditStanding
from tenants.reading import one_moment

AT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
AT_ONCE: Final = 2_000
MOST_KEPT: Final = 100

log = structlog.get_logger()


class Promise(NamedTuple):
    """What an anchor says of an entry."""

    hash: bytes
    anchor: int
    at: datetime


@dataclass(slots=True)
class Looked:
    """What a look through the trail found. `heads` is how far each chain is, `anchored` how far it
    is in an anchor, and `promised` what anchors say of entries by their numbers.
    """

    entries: int = 0
    anchors: int = 0
    heads: dict[UUID, Head] = field(default_factory=dict)
    anchored: dict[UUID, Head] = field(default_factory=dict)
    promised: dict[UUID, dict[int, list[Promise]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        return not self.findings


def trail_check(reread: int | None = None) -> Looked:
    """Look through every chain and every anchor, as one moment sees them.

    Of the anchors the latest `reread` are read from where they are kept, or all. The others are
    read from their copies in the database, which are signed as well, and must only be kept.
    """
    store = anchor_store()
    numbers = list(store.numbers())  # first, so that what they hold is there to be seen
    with one_moment():
        looked = Looked(heads=heads_now())
        looked.findings += _anchors_check(looked, store, numbers, reread)
        known = set(AuditEntry.objects.values_list("chain", flat=True).distinct())
        for chain in sorted(known | set(looked.heads) | set(looked.promised)):
            links, marks = _links(chain, looked)
            looked.findings += joined(chain_check(chain, links, looked.heads.get(chain)), marks)
    return looked


def trail_verify(reread: int | None = None) -> Looked:
    """Look through the trail, leave on record what came out, and log what is wrong."""
    looked = trail_check(reread)
    for one in looked.findings:
        log.error("audit.wrong", chain=str(one.chain), seq=one.seq, what=one.what)
    now = timezone.now()
    AuditStanding.objects.bulk_create(
        [_standing(chain, looked) for chain in {*looked.heads, PLATFORM}],
        update_conflicts=True,
        unique_fields=["chain"],
        update_fields=["seq", "anchored_seq", "checked_at", "findings"],
    )
    log.info("audit.verified", entries=looked.entries, anchors=looked.anchors, at=now.isoformat())
    return looked


def _standing(chain: UUID, looked: Looked) -> AuditStanding:
    anchored = looked.anchored.get(chain)
    return AuditStanding(
        chain=chain,
        organization_id=None if chain == PLATFORM else chain,
        seq=looked.heads[chain].seq if chain in looked.heads else 0,
        anchored_seq=anchored.seq if anchored else 0,
        checked_at=timezone.now(),
        findings=_said(chain, looked)[:MOST_KEPT],
    )


def _said(chain: UUID, looked: Looked) -> list[str]:
    """What is wrong with `chain`; the platform's tells of chains that are gone, too."""
    own = [one.what for one in looked.findings if one.chain == chain]
    if chain != PLATFORM:
        return own
    gone = [one for one in looked.findings if one.chain not in {*looked.heads, PLATFORM}]
    return own + said_of(gone)


def body_of(entry: AuditEntry) -> dict[str, Any]:
    """What the body of `entry` should say, by its columns."""
    return {
        "chain": str(entry.chain),
        "seq": entry.seq,
        "at": entry.created_at.strftime(AT),
        "action": entry.action,
        "actor": entry.actor_id,
        "on_behalf_of": entry.on_behalf_of_id,
        "target_type": entry.target_type,
        "target_id": entry.target_id,
        "data": entry.data,
        "personal": entry.personal,
        "auth": entry.auth,
        "request_id": entry.request_id,
        "reason": entry.reason,
    }


def _links(chain: UUID, looked: Looked) -> tuple[Iterator[Link], list[Finding]]:
    """The links of `chain` as they are read, and what is found on the way besides the links."""
    marks: list[Finding] = []
    promised = looked.promised.get(chain, {})

    def read() -> Iterator[Link]:
        entries = AuditEntry.objects.filter(chain=chain).order_by("seq", "id")
        for entry in entries.iterator(AT_ONCE):
            looked.entries += 1
            if not _says_its_body(entry):
                said = f"Entry {entry.seq} shows other facts than were recorded."
                marks.append(Finding(chain, entry.seq, said))
            marks.extend(_broken(chain, entry.seq, promised.pop(entry.seq, []), bytes(entry.hash)))
            yield Link(entry.seq, bytes(entry.prev), bytes(entry.hash), entry.body)
        for seq, promises in promised.items():
            marks.extend(_broken(chain, seq, promises, b""))

    return read(), marks


def _broken(chain: UUID, seq: int, promises: Iterable[Promise], hash_: bytes) -> Iterator[Finding]:
    """Those of `promises` that the entry with `hash_` does not keep."""
    for one in promises:
        if one.hash != hash_:
            said = f"Entry {seq} is not the one of anchor {one.anchor}, made {one.at}."
            yield Finding(chain, seq, said)


def _says_its_body(entry: AuditEntry) -> bool:
    """A body that is no JSON any more is found by its hash."""
    owner = None if entry.chain == PLATFORM else entry.chain
    try:
        said = json.loads(entry.body)
    except ValueError:
        return True
    return bool(said == body_of(entry)) and entry.organization_id == owner


def _anchors_check(
    looked: Looked, store: AnchorStore, numbers: list[int], reread: int | None
) -> Iterator[Finding]:
    """Each anchor: its signature, its place, its root, and that it is kept. It leaves in `looked`
    what they say.
    """
    rows = dict(AuditAnchor.objects.values_list("number", "document"))
    known = {
        number: rows[number] for number in numbers[: _aside(numbers, reread)] if number in rows
    }
    last: Anchor | None = None
    for number, anchor in anchors_stored(store, numbers, known):
        looked.anchors += 1
        if anchor is None:
            yield _of_anchor(number, "is no anchor")
            continue
        looked.anchored |= anchor.moved
        yield from _anchor_check(number, anchor, last, looked.anchored)
        if rows.pop(number, anchor.document) != anchor.document:
            yield _of_anchor(number, "is another one than the database has on record")
        _promise(anchor, looked)
        last = anchor
    for number, document in rows.items():
        if store.read(number) != document:
            yield _of_anchor(number, "is not where it was kept")


def _aside(numbers: list[int], reread: int | None) -> int:
    """How many of `numbers` are not read again."""
    return 0 if reread is None else max(0, len(numbers) - reread)


def _promise(anchor: Anchor, looked: Looked) -> None:
    for chain, head in anchor.moved.items():
        promises = looked.promised.setdefault(chain, {}).setdefault(head.seq, [])
        promises.append(Promise(head.hash, anchor.number, anchor.at))


def _anchor_check(
    number: int, anchor: Anchor, last: Anchor | None, heads: dict[UUID, Head]
) -> Iterator[Finding]:
    before = (last.number, last.digest) if last else (0, GENESIS)
    if not anchor.is_signed:
        yield _of_anchor(number, "is not signed by a key that counts")
    if anchor.number != number or (number - 1, anchor.previous) != before:
        yield _of_anchor(number, "does not follow the one before it")
    is_idle = last is not None and not anchor.moved and anchor.root == last.root
    if not is_idle and anchor.root != root(leaves_of(heads)):
        yield _of_anchor(number, "has a root that its heads do not make")


def _of_anchor(number: int, what: str) -> Finding:
    return Finding(PLATFORM, 0, f"Anchor {number} {what}.")


def said_of(findings: Iterable[Finding]) -> list[str]:
    """The findings as lines, with their chains."""
    return [f"{one.chain} #{one.seq}: {one.what}" for one in findings]
