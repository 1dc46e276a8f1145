"""A backend that speaks raw bytes: whatever a broken engine may say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Final

OK: Final = b"HTTP/1.1 200 OK\r\n"
JSON: Final = b"Content-Type: application/json\r\n"
EVENTS: Final = b"Content-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
EVENT: Final = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"tiny-llama","choices":'
    b'[{"index":0,"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\n'
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def body(data: bytes, kind: bytes = JSON) -> bytes:
    return OK + kind + b"Content-Length: %d\r\n\r\n" % len(data) + data


def begun(*parts: bytes) -> bytes:
    return OK + EVENTS + CHUNKED + b"".join(chunk(part) for part in parts)


def _once(data: bytes) -> Iterator[bytes]:
    yield data


def _for_ever(start: bytes, more: bytes) -> Iterator[bytes]:
    yield start
    while True:
        yield more


def _and_then_nothing(data: bytes) -> Iterator[bytes]:
    """An empty piece stands for waiting until the gateway hangs up."""
    if data:
        yield data
    yield b""


ERROR: Final = b'{"error":{"message":"engine is dead in /srv/model","type":"Internal","code":500}}'
SPACES: Final = chunk(b" " * 65536)

BEFORE: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "garbage": lambda: _once(b"\x00\x16\x03 this is not HTTP\r\n\r\n"),
    "another protocol": lambda: _once(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "half a head": lambda: _once(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "endless headers": lambda: _for_ever(OK, b"X-More: " + b"a" * 4000 + b"\r\n"),
    "one endless header": lambda: _for_ever(OK + b"X-More: ", b"a" * 4000),
    "two lengths": lambda: _once(OK + JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "length and chunks": lambda: _once(OK + JSON + b"Content-Length: 2\r\n" + CHUNKED + b"{}"),
    "half a JSON": lambda: _once(body(b'{"id":"c","choices":[{"index":')),
    "half a body": lambda: _once(OK + JSON + b"Content-Length: 500\r\n\r\n" + b'{"id":"c"'),
    "wrong content type": lambda: _once(
        body(b"<h1>It works!</h1>", b"Content-Type: text/html\r\n")
    ),
    "no content type": lambda: _once(body(b"It works!", b"")),
    "200 with an error": lambda: _once(body(ERROR)),
    "200 with an error event": lambda: _once(begun(b"data: " + ERROR + b"\n\n")),
    "an event without end": lambda: _for_ever(OK + EVENTS + CHUNKED, SPACES),
    "a body without end": lambda: _for_ever(OK + JSON + CHUNKED, SPACES),
    "a bad chunk": lambda: _once(OK + EVENTS + CHUNKED + b"zz\r\nnot hex\r\n"),
    "compressed": lambda: _once(body(b"\x1f\x8b\x08junk", JSON + b"Content-Encoding: gzip\r\n")),
    "nothing": lambda: _and_then_nothing(b""),
    "a head and nothing": lambda: _and_then_nothing(OK + EVENTS + CHUNKED),
    "closed at once": lambda: iter(()),
    "500": lambda: _once(b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nOh!\n"),
    "a redirect": lambda: _once(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    ),
}
"""What comes in place of an answer, by what it is."""

WITHIN: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    "garbage": lambda: _once(begun(EVENT, b"\x00\x01 no event\n\n")),
    "half an event": lambda: _once(begun(EVENT, EVENT[:40] + b"\n\n")),
    "an error event": lambda: _once(begun(EVENT, b"data: " + ERROR + b"\n\n")),
    "an event without end": lambda: _for_ever(begun(EVENT), SPACES),
    "a bad chunk": lambda: _once(begun(EVENT) + b"zz\r\nnot hex\r\n"),
    "an early end": lambda: _once(begun(EVENT) + b"0\r\n\r\n"),
    "a cut": lambda: _once(begun(EVENT)),
    "silence": lambda: _and_then_nothing(begun(EVENT)),
}
"""What comes after the first event of a stream."""


class RawBackend:
    """Answers each POST with what `says` gives, and everything else like an engine that is well.

    `asked` counts the POSTs, `connections` all that was ever opened, `open` what is open now.
    """

    def __init__(self, says: Callable[[], Iterator[bytes]]) -> None:
        self.says = says
        self.asked = self.connections = self.open = 0
        self._socket = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self.open += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with closing(connection), suppress(OSError):
                connection.settimeout(20)
                if connection.recv(65536).startswith(b"POST "):
                    self._say(connection)
                else:
                    connection.sendall(body(b'{"data":[{"id":"tiny-llama"}]}'))
        finally:
            self.open -= 1

    def _say(self, connection: socket.socket) -> None:
        self.asked += 1
        for data in self.says():
            if data:
                connection.sendall(data)
            else:
                connection.recv(1)


@contextmanager
def raw_backend_running(says: Callable[[], Iterator[bytes]]) -> Iterator[RawBackend]:
    backend = RawBackend(says)
    thread = threading.Thread(target=backend.serve, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        backend.close()
        thread.join(5)
