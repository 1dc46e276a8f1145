"""Where calls go, and the lines that head them."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from inference.gateway.endpoint import Question
from inference.snapshot import Route

_PATH_CHARS: Final = "/%:@!$&'()*+,;=~"


class Target(NamedTuple):
    """The server of a base URL. `authority` names it to itself, `prefix` leads every path."""

    host: str
    port: int
    is_tls: bool
    authority: str
    prefix: str


@cache
def target_of(base_url: str) -> Target:
    """Raises ValueError for a base URL that names no server."""
    url = urlsplit(base_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError(f"no base URL of a server: {base_url!r}")
    is_tls = url.scheme == "https"
    host = url.hostname if ":" in url.hostname else url.hostname.encode("idna").decode()
    name = f"[{host}]" if ":" in host else host
    return Target(
        host,
        url.port or (443 if is_tls else 80),
        is_tls,
        name if url.port is None else f"{name}:{url.port}",
        quote(url.path.rstrip("/"), safe=_PATH_CHARS),
    )


def head_of(route: Route, question: Question, request_id: str) -> bytes:
    """The lines before the body. Raises ValueError for what would break out of its line."""
    if not (question.content_type + request_id).isprintable():
        raise ValueError("a header with control characters")
    own = (
        f"Content-Type: {question.content_type}\r\nX-Request-Id: {request_id}\r\n"
        f"Content-Length: {len(question.data)}\r\n\r\n"
    )
    return _constant_lines(route.base_url, question.path, route.key) + own.encode("ascii")


@lru_cache(maxsize=4096)
def _constant_lines(base_url: str, path: str, key: str) -> bytes:
    target = target_of(base_url)
    if not (path + key).isprintable() or " " in path:
        raise ValueError("a path or a key with characters that end it")
    credentials = f"Authorization: Bearer {key}\r\n" if key else ""
    lines = f"POST {target.prefix}{path} HTTP/1.1\r\nHost: {target.authority}\r\n{credentials}"
    return lines.encode("ascii")
