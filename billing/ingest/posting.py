"""After the commit: messages are taken off their streams, and counters told what is booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from uuid import UUID

from billing.balances import balances_read
from billing.holds import Posted, Posting, post_many
from billing.ingest.reading import Entry, Unreadable, by_stream, take_off


def finish(messages: Iterable[Entry | Unreadable]) -> None:
    """Take `messages` off. Those that are found again instead are booked already.

    What was set aside goes too: its money is free again until it is booked after all.
    """
    entries, others = list[Entry](), list[Unreadable]()
    for message in messages:
        if isinstance(message, Entry):
            entries.append(message)
        else:
            others.append(message)
    if entries:
        post_many(list(_postings(entries)))
    for stream, ids in by_stream(others).items():
        take_off(stream, ids)


def _postings(entries: Iterable[Entry]) -> Iterator[Posting]:
    """The balances of now, which include what is booked of `entries`."""
    posted = defaultdict[UUID, list[Posted]](list)
    for entry in entries:
        posted[entry.record.organization_id].append(Posted(entry.id, entry.nano, entry.scopes))
    for organization_id, (version, balances) in balances_read(posted).items():
        yield Posting(organization_id, version, balances, posted[organization_id])
