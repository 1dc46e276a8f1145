"""Broken HTTP, smuggled requests, and connections that stay half open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tests.inference.gateway.hostile.case import AUTH, JSON, KEY_MARK, Case, Header, head, posted
from tests.inference.gateway.hostile.forms import FORMS
from tests.inference.gateway.hostile.good import BODIES

_CHAT: Final = "/v1/chat/completions"
_GOOD: Final = json.dumps(BODIES["chat/completions"]).encode()
_SMUGGLED: Final = posted(_CHAT, _GOOD)
_SLOW: Final = frozenset({408})
_ANY_REFUSAL: Final = frozenset(range(400, 500))

_START: Final = f"POST {_CHAT} HTTP/1.1\r\nHost: gateway.test\r\n".encode()
_KEY: Final = b"Authorization: Bearer " + KEY_MARK + b"\r\n"
_CHUNKED: Final = _START + _KEY + b"Transfer-Encoding: chunked\r\n\r\n"
_WS: Final = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

_BROKEN_HEADS: Final[dict[str, bytes]] = {
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "a list of lengths": b"Content-Length: 5, 6\r\n\r\n",
    "a length with a plus": b"Content-Length: +5\r\n\r\n",
    "a negative length": b"Content-Length: -5\r\n\r\n",
    "a hex length": b"Content-Length: 0x5\r\n\r\n",
    "a length with a blank": b"Content-Length: 5 5\r\n\r\n",
    "an empty length": b"Content-Length:\r\n\r\n",
    "a length past 64 bits": b"Content-Length: 99999999999999999999\r\n\r\n",
    "the largest length": b"Content-Length: 18446744073709551615\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity as transfer coding": b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunked before identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two transfer codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "a tab in the transfer coding": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X-A: b\r\n c\r\n\r\n",
    "a folded transfer coding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a line without a colon": b"hello\r\n\r\n",
    "a header without a name": b": x\r\n\r\n",
    "a NUL in a header": b"X-A: a\0b\r\n\r\n",
    "a NUL in a name": b"X\0A: b\r\n\r\n",
    "a NUL in a key": b"x-api-key: " + KEY_MARK + b"\0\r\n\r\n",
    "a CR in a header": b"X-A: a\rb\r\n\r\n",
    "a blank in a name": b"X A: b\r\n\r\n",
    "bytes in a name": b"X\xff: b\r\n\r\n",
    "10,000 headers": b"X-A: b\r\n" * 10_000 + b"\r\n",
    "101 headers": b"".join(b"X-%d: b\r\n" % i for i in range(101)) + b"\r\n",
    "a header of 600 kB": b"X-A: " + b"x" * 600_000 + b"\r\n\r\n",
    "a name of 70 kB": b"x" * 70_000 + b": b\r\n\r\n",
}

_BROKEN_LINES: Final[dict[str, bytes]] = {
    "nothing but line ends": b"\r\n" * 100 + b"\0\r\n\r\n",
    "bytes": bytes(range(256)) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/1.2": b"GET /v1/models HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/3.0": b"GET /v1/models HTTP/3.0\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    "HTTP/2 frames": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x01\x01\x04\0\0\0\x01\x82" * 99,
    "no version": b"GET /v1/models\r\nHost: x\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank in the path": b"GET /v1/models x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in the path": b"GET /v1/mod\0els HTTP/1.1\r\nHost: x\r\n\r\n",
    "a byte in the path": b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of 70 kB": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad method": b"G(T /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "CR alone": b"GET /v1/models HTTP/1.1\rHost: x\r\r",
    "a blank before the first header": b"GET /v1/models HTTP/1.1\r\n Host: x\r\n\r\n",
    "CONNECT": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "a bad URL": b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
    "SMTP": b"EHLO x\r\nMAIL FROM:<a@b>\r\n\r\n",
    "Redis": b"*1\r\n$8\r\nFLUSHALL\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
}

_BAD_CHUNKS: Final[dict[str, bytes]] = {
    "no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-2\r\n{}\r\n0\r\n\r\n",
    "a size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size with a plus": b"+2\r\n{}\r\n0\r\n\r\n",
    "a size past 64 bits": b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "an empty size": b"\r\n{}\r\n0\r\n\r\n",
    "LF alone after a size": b"2\n{}\r\n0\r\n\r\n",
    "more than its size": b"2\r\n{}{}\r\n0\r\n\r\n",
    "a long extension": b"2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a line end in an extension": b'2;a="\r\n"\r\n{}\r\n0\r\n\r\n',
    "a NUL in its size": b"2\0\r\n{}\r\n0\r\n\r\n",
    "a long trailer": b"2\r\n{}\r\n0\r\nX: " + b"x" * 99_999 + b"\r\n\r\n",
    "10,000 trailers": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
}

_CODINGS: Final = ("gzip, chunked", "chunked, chunked", "deflate, chunked", "identity, chunked")


def cases() -> Iterator[Case]:
    yield from _broken()
    yield from _smuggled()
    yield from _odd()
    yield from _slow()
    yield from _half_open()


def _broken() -> Iterator[Case]:
    for name, lines in _BROKEN_HEADS.items():
        yield Case(name, (_START + _KEY + lines,), _ANY_REFUSAL, _CHAT, is_broken_http=True)
    for name, line in _BROKEN_LINES.items():
        yield Case(name, (line,), _ANY_REFUSAL, is_broken_http=True)
    for name, chunk in _BAD_CHUNKS.items():
        yield Case(f"a chunk with {name}", (_CHUNKED + chunk,), _ANY_REFUSAL, _CHAT,
                   is_broken_http=True)  # fmt: skip


def _smuggled() -> Iterator[Case]:
    """A second request, within what another reader takes for the body of the first."""
    rest = {"the end of chunks": b"0\r\n\r\n", "a chunk": b"2\r\n{}\r\n0\r\n\r\n"}
    lengths = {"too short": b"3", "too long": b"999", "right": str(5 + len(_SMUGGLED)).encode()}
    for body_name, body in rest.items():
        for name, length in lengths.items():
            fields = b"Content-Length: " + length + b"\r\nTransfer-Encoding: chunked\r\n"
            start = _START + _KEY + fields + b"\r\n" + body
            label = f"a request after {body_name}, with a length that is {name}"
            yield Case(label, (start + _SMUGGLED,), path=_CHAT)
    for order in (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                  b"Content-Length: 4\r\nTransfer-encoding: CHUNKED\r\n",
                  b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"):  # fmt: skip
        start = _START + _KEY + order + b"\r\n5c\r\n{}\r\n0\r\n\r\n"
        yield Case(f"{order!r}", (start + _SMUGGLED,), path=_CHAT)
    for coding in _CODINGS:
        fields = f"Transfer-Encoding: {coding}\r\nConnection: close\r\n\r\n".encode()
        start = _START + _KEY + fields + b"2\r\n{}\r\n0\r\n\r\n"
        yield Case(f"the transfer coding {coding}", (start + _SMUGGLED,), frozenset({415}), _CHAT)
    for name, injected in {
        "%0d%0a": "x%0d%0aX-Injected:%201",
        "%0a": "x%0aX-Injected:%201",
        "%E5%98%8A": "x%E5%98%8D%E5%98%8AX-Injected:%201",
    }.items():
        start = head("GET", f"/v1/models/{injected}", [AUTH])
        yield Case(f"a header by {name}", (start,), frozenset({404}))
    refused = posted(_CHAT, b"{}").replace(b"Connection: close\r\n", b"")
    last = posted(_CHAT, b"[]")
    yield Case("three in a row", (refused + refused + last,), path=_CHAT, answers=3)
    yield Case("100 in a row", (refused * 99 + last,), path=_CHAT, answers=100)


def _odd() -> Iterator[Case]:
    bad = b"{}"
    length = ("Content-Length", "2")
    extras: dict[str, list[Header]] = {
        "an upgrade to HTTP/2": [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
        "an unknown expectation": [("Expect", "200-ok")],
        "a range": [("Range", "bytes=0-0")],
        "a method override": [("X-HTTP-Method-Override", "GET")],
        "an URL override": [("X-Original-URL", "/v1/models"), ("X-Rewrite-URL", "/readyz")],
        "a backend override": [("X-Upstream", "http://127.0.0.1"), ("x-base-url", "http://x")],
        "where it came from": [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Host", "a b")],
        "a trailer": [("TE", "trailers"), ("Trailer", "Content-Length")],
        "a long header": [("X-A", "x" * 100_000)],
        "90 headers": [(f"X-{i}", "x") for i in range(90)],
        "an odd content type": [("Content-Type", "application/json; charset=utf-7")],
        "a form's content type": [("Content-Type", "multipart/form-data; boundary=x")],
        "an odd accept": [("Accept", "image/png"), ("Accept-Encoding", "gzip, br, *;q=0")],
        "a client's id with odd bytes": [("X-Client-Request-Id", b"\xff\t" * 1000)],
    }
    for name, extra in extras.items():
        given = {header.lower() for header, _ in extra}
        usual = [header for header in (AUTH, JSON) if header[0].lower() not in given]
        yield Case(name, (head("POST", _CHAT, [*usual, *extra, length]) + bad,), path=_CHAT)
    old = _START.replace(b"HTTP/1.1", b"HTTP/1.0") + _KEY + b"Content-Length: 2\r\n\r\n{}"
    yield Case("HTTP/1.0", (old,), path=_CHAT)
    no_host = old.replace(b"Host: gateway.test\r\n", b"")
    yield Case("HTTP/1.0 without a host", (no_host,), path=_CHAT)
    yield Case("HTTP/1.0 with chunks", (_CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",),
               _ANY_REFUSAL, _CHAT, is_broken_http=True)  # fmt: skip
    yield Case("LF alone", (b"GET /v1/models HTTP/1.1\nHost: x\nConnection: close\n\n",),
               frozenset({401}))  # fmt: skip
    line_ends = b"\r\n\r\n" + posted(_CHAT, bad)
    yield Case("line ends before it", (line_ends,), path=_CHAT)
    yield Case("a websocket", (b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n" + _KEY + _WS + b"\r\n",),
               frozenset({404}))  # fmt: skip
    yield Case("a websocket at a POST", (_START.replace(b"POST", b"GET") + _KEY + _WS + b"\r\n",),
               frozenset({405}), _CHAT)  # fmt: skip
    large = head("POST", _CHAT, [AUTH, ("Expect", "100-continue"), ("Content-Length", "9999999")])
    yield Case("a large body to be asked for", (large,), frozenset({413}), _CHAT)
    tiny = b"1\r\n \r\n" * 5_000 + b"0\r\n\r\n"
    start = _CHUNKED.replace(b"Transfer", b"Connection: close\r\nTransfer")
    yield Case("5,000 chunks of a byte", (start + tiny,), path=_CHAT)


def _slow() -> Iterator[Case]:
    long = ("Content-Length", "90000")
    for path in ("/v1/" + path for path in (*BODIES, *FORMS)):
        start = head("POST", path, [AUTH, JSON, long])
        yield Case(f"{path}: a body that stops", (start + b"{",), _SLOW, path)
    start = head("POST", _CHAT, [AUTH, JSON, long])
    yield Case("a body that never starts", (start,), _SLOW, _CHAT)
    drops = tuple(step for _ in range(8) for step in (b" ", 1.0))
    yield Case("a body byte by byte", (start, *drops), _SLOW, _CHAT)
    yield Case("a chunk that stops", (_CHUNKED + b"5\r\n{",), _SLOW, _CHAT)
    yield Case("a size that stops", (_CHUNKED + b"5",), _SLOW, _CHAT)
    yield Case("chunks without an end", (_CHUNKED, *_chunks()), _SLOW, _CHAT)
    asked = head("POST", _CHAT, [AUTH, ("Expect", "100-continue"), long])
    yield Case("a body that is asked for and never comes", (asked,), _SLOW, _CHAT)
    large = head("POST", _CHAT, [AUTH, JSON, ("Content-Length", "290000")])
    yield Case("a large body that stops", (large + b"{" * 150_000,), _SLOW, _CHAT)


def _chunks() -> Iterator[bytes | float]:
    for _ in range(8):
        yield b"1\r\n \r\n"
        yield 1.0


def _half_open() -> Iterator[Case]:
    """Whoever closes his half, or says nothing at all."""
    ends: dict[str, bytes] = {
        "nothing": b"",
        "half a line": b"POST /v1/chat",
        "half the headers": _START + _KEY,
        "half the body": _START + _KEY + b"Content-Length: 10\r\n\r\n{",
        "half a chunk": _CHUNKED + b"9\r\n{",
        "half a preface": b"PRI * HTTP/2.0\r\n",
    }
    for name, data in ends.items():
        steps = (data,) if data else ()
        yield Case(f"half closed after {name}", steps, _ANY_REFUSAL, _CHAT,
                   is_broken_http=True, is_half_closed=True)  # fmt: skip
        if b"\r\n\r\n" not in data:
            yield Case(f"silent after {name}", steps, _ANY_REFUSAL, _CHAT, is_broken_http=True)
    lines = tuple(step for i in range(12) for step in (b"X-%d: y\r\n" % i, 1.0))
    yield Case("header by header", (_START, *lines), _ANY_REFUSAL, _CHAT, is_broken_http=True)
