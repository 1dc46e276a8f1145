"""The streams of usage: what waits in them, and taking it off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis

from billing.holds import GROUP
from billing.metering import FIELD, UsageRecord, decode
from tenants.valkey import client

CONSUMER: Final = "worker"
_UNFINISHED: Final = b"0"
_NEW: Final = b">"


class Entry(NamedTuple):
    """One message of a stream. `nano` is what was charged to the `scopes` of its hold."""

    stream: str
    id: bytes
    record: UsageRecord
    nano: int = 0
    scopes: tuple[str, ...] = ()


class Unreadable(NamedTuple):
    """A message that is no record."""

    stream: str
    id: bytes
    fields: dict[bytes, bytes]
    error: str


def read(limit: int, streams: Sequence[str]) -> list[Entry | Unreadable]:
    """Up to about `limit` messages, of each stream alike; what was read and not finished first."""
    lengths = dict(zip(streams, _ask(("XLEN", stream) for stream in streams), strict=True))
    busy = [stream for stream, length in lengths.items() if length]
    share = max(limit // max(len(busy), 1), 1)
    return _read(busy, _UNFINISHED, share) or _read(busy, _NEW, share)


def take_off(stream: str, ids: Sequence[bytes]) -> None:
    with client().pipeline(transaction=True) as pipe:
        pipe.xack(stream, GROUP, *ids)
        pipe.xdel(stream, *ids)
        pipe.execute()


def by_stream(messages: Iterable[Entry | Unreadable]) -> dict[str, list[bytes]]:
    ids = defaultdict[str, list[bytes]](list)
    for message in messages:
        ids[message.stream].append(message.id)
    return ids


def entry_of(stream: str, id_: bytes, fields: dict[bytes, bytes]) -> Entry | Unreadable:
    try:
        record, nano = decode(fields[FIELD]), int(fields.get(b"n", 0))
        scopes = fields.get(b"s", b"").decode()
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        return Unreadable(stream, id_, fields, f"{type(error).__name__}: {error}")
    return Entry(stream, id_, record, nano, tuple(scopes.split(",")) if scopes else ())


def _read(streams: Sequence[str], start: bytes, count: int) -> list[Entry | Unreadable]:
    commands = [
        ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", count, "STREAMS", stream, start)
        for stream in streams
    ]
    try:
        answers = _ask(commands)
    except redis.ResponseError as error:
        if "NOGROUP" not in str(error):
            raise
        _groups_make(streams)
        answers = _ask(commands)
    messages = ((stream, one) for stream, answer in zip(streams, answers, strict=True)
                for one in _messages(answer))  # fmt: skip
    return [entry_of(stream, id_, fields or {}) for stream, (id_, fields) in messages]


def _messages(answer: Any) -> Any:
    """Those of the one stream that was asked for; RESP 2 and 3 tell them differently."""
    if not answer:
        return ()
    if isinstance(answer, dict):
        return next(iter(answer.values()))
    return answer[0][1]


def _groups_make(streams: Iterable[str]) -> None:
    for stream in streams:
        try:
            client().xgroup_create(stream, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _ask(commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    with client().pipeline(transaction=False) as pipeline:
        pipe: Any = pipeline
        for command in commands:
            pipe.execute_command(*command)
        answers: list[Any] = pipe.execute()
    return answers
