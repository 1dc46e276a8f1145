"""The scripts that run inside Valkey, and the keys they work on.

All keys of one organization carry the hash tag of its shard: `{7}:acct:<organization>`,
`{7}:holds`, `{7}:done:<hold>` and the stream `usage:{7}`. The lease of a gateway is `gw:<id>`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from billing.metering import shard_of, stream_of

DONE_S: Final = 15 * 60
"""So long a hold's end is remembered, 100 bytes each. A settle that is repeated later still is
caught by the ingest: the event is there already, and its posting takes off what it put on."""
STAMP: Final = 10
"""A hold is kept as its moment, in seconds since 1970 and so many digits, and then its ask."""


class Script(NamedTuple):
    """Its text, and the start of a command that runs it: by its hash, or by all of its text."""

    text: str
    by_sha: bytes
    by_text: bytes


def _read(name: str) -> Script:
    text = (Path(__file__).parent / f"{name}.lua").read_bytes()
    sha = sha1(text, usedforsecurity=False).hexdigest().encode()
    by_sha = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % sha
    by_text = b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(text), text)
    return Script(text.decode(), by_sha, by_text)


RESERVE: Final = _read("reserve")
SETTLE: Final = _read("settle")
POST: Final = _read("post")


class Keys(NamedTuple):
    """Of one organization, and its id in hex digits. `done` lacks the hold’s 16 bytes."""

    account: bytes
    holds: bytes
    done: bytes
    stream: bytes
    organization: str


@lru_cache(maxsize=10_000)
def keys_of(organization_id: UUID) -> Keys:
    shard = shard_of(organization_id)
    return Keys(
        b"{%d}:acct:%b" % (shard, organization_id.hex.encode()),
        holds_key(shard),
        b"{%d}:done:" % shard,
        stream_of(shard).encode(),
        organization_id.hex,
    )


def holds_key(shard: int) -> bytes:
    return b"{%d}:holds" % shard


def lease_key(gateway: str) -> str:
    return f"gw:{gateway}"
