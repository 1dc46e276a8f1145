"""What stands in a segment of the spool, and how it is framed.

A segment is a run of frames: length (u32, little-endian), CRC-32 of the payload (zlib's, u32), and
the payload, a record as msgpack. The first record is a `Header`. What follows the last whole frame
is not read: the process died while it wrote, or the disk lost it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from struct import Struct
from typing import Final
from uuid import UUID
from zlib import crc32

import msgspec

from billing.metering import UsageRecord
from billing.metering import encode as usage_encode

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
"""No record is longer: a length beyond it is damage."""
ALL: Final = b"HDPSV"
SETTLED: Final = b"HS"
_FRAME: Final = Struct("<II")
_TAG_AT: Final = 2
"""The place of a record's tag in its payload, after the heads of the array and of the string."""


class Header(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="H"):
    """Opens a segment: the `version` of what follows, and whose it is.

    `installation` names the database that its records go to; None in segments of before it did.
    """

    version: int
    gateway: str
    created_at: datetime
    installation: UUID | None = None


class Dispatch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="D"):
    """An engine is about to be asked. `record` is what is billed if the gateway dies at once:
    outcome `gateway_crash`, nothing used. The hold has the request's id, and is of `bound_nano`.
    """

    record: UsageRecord
    bound_nano: int
    scopes: tuple[str, ...]


class Progress(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="P"):
    """What a request used until `at`, as its engine counted."""

    request_id: UUID
    at: datetime
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    audio_seconds: int
    ttft_ms: int | None = None


class Settled(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="S"):
    """A request that ended. `record` is its UsageRecord as it goes on the stream; the hold has the
    request's id. `tokens` are those that count for limits.
    """

    request_id: UUID
    organization_id: UUID
    actual_nano: int
    tokens: int
    scopes: tuple[str, ...]
    record: msgspec.Raw

    @classmethod
    def of(
        cls,
        record: UsageRecord,
        actual_nano: int,
        scopes: tuple[str, ...],
        tokens: int | None = None,
    ) -> Settled:
        if tokens is None:
            tokens = record.input_tokens + record.output_tokens
        raw = msgspec.Raw(usage_encode(record))
        return cls(record.request_id, record.organization_id, actual_nano, tokens, scopes, raw)


class Voided(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="V"):
    """A request that ended without anything to bill."""

    request_id: UUID


type Record = Header | Dispatch | Progress | Settled | Voided

_encode: Final = msgspec.msgpack.Encoder(uuid_format="bytes").encode
_decode: Final = msgspec.msgpack.Decoder(Header | Dispatch | Progress | Settled | Voided).decode


def frame(record: Record) -> bytes:
    payload = _encode(record)
    return _FRAME.pack(len(payload), crc32(payload)) + payload


def frames_read(data: bytes, kinds: bytes = ALL) -> Iterator[tuple[int, Record | None]]:
    """Each record of a segment and where it ends, up to the first that is damaged; None for those
    of other `kinds`.
    """
    at = 0
    while payload := _payload(data, at):
        try:
            record = _decode(payload) if payload[_TAG_AT] in kinds else None
        except msgspec.DecodeError:
            return
        at += _FRAME.size + len(payload)
        yield at, record


def _payload(data: bytes, at: int) -> bytes:
    """That of the frame at `at`; nothing where there is no whole one."""
    if at + _FRAME.size > len(data):
        return b""
    length, checksum = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    if not _TAG_AT < length <= min(MAX_BYTES, len(data) - start):
        return b""
    payload = data[start : start + length]
    return payload if crc32(payload) == checksum else b""
