"""One hostile request, as bytes on a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

type Header = tuple[str, str | bytes]

JSON: Final[Header] = ("Content-Type", "application/json")
HOST: Final = b"gateway.test"
KEY_MARK: Final = b"@KEY@"
"""Stands in a case where a good API key is sent."""
AUTH: Final[Header] = ("Authorization", b"Bearer " + KEY_MARK)


@dataclass(frozen=True)
class Case:
    """`steps` are bytes to send and seconds to wait; then the client reads, half-closed or not.

    `statuses` are those that will do; one that a plain answer needs is in the shape of the API that
    `path` belongs to. With `is_broken_http` the server's own bare answer or a closed connection is
    as good. `answers` is how many answers there may be.
    """

    name: str
    steps: tuple[bytes | float, ...]
    statuses: frozenset[int] = frozenset({400})
    path: str = "/v1"
    is_head: bool = False
    is_broken_http: bool = False
    is_half_closed: bool = False
    answers: int = 1


def head(method: str, path: str, headers: Iterable[Header], *, host: bytes | None = HOST) -> bytes:
    """The head of a request whose connection closes after the answer."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1")]
    lines += [] if host is None else [b"Host: " + host]
    lines += [name.encode() + b": " + _bytes(value) for name, value in headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def posted(path: str, body: bytes, *headers: Header) -> bytes:
    """A whole POST with a good key, of JSON unless `headers` say otherwise."""
    given = {name.lower() for name, _ in headers}
    usual = [header for header in (AUTH, JSON) if header[0].lower() not in given]
    length = ("Content-Length", str(len(body)))
    return head("POST", path, [*usual, *headers, length]) + body


def post(name: str, path: str, body: bytes, *statuses: int) -> Case:
    """A well-formed POST whose body is wrong."""
    return Case(name, (posted(path, body),), frozenset(statuses or {400}), path)


def post_json(name: str, path: str, body: Any, *statuses: int) -> Case:
    return post(name, path, json.dumps(body).encode(), *statuses)
