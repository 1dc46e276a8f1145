"""The answers on a connection, from bytes to heads and bodies."""

from __future__ import annotations

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from inference.gateway.upstream.failures import Failure

MAX_SILENT_BYTES: Final = 2**16
"""Of heads, chunk extensions and trailers before another byte of a body; give or take a read."""
_FRAMING: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"}
)
_BODILESS: Final = frozenset({204, 304})


class AnswerReader:
    """Reads one answer after another; `start` comes before each.

    `status` is 0 before the final head. `is_done` once the body is complete, and `failure` tells
    why it never will be; a body without a length `ends_with_connection`. `is_reusable` is whether
    the connection can take another call then.
    """

    __slots__ = (
        "_body", "_is_framed", "_parser", "_silent_bytes", "content_type", "ends_with_connection",
        "failure", "is_done", "is_reusable", "on_body", "status",
    )  # fmt: skip

    def __init__(self) -> None:
        self._body = list[bytes]()
        self.on_body = self._body.append  # no frame of Python for each chunk
        self._parser = HttpResponseParser(self)
        self.start()

    def start(self) -> None:
        self.status, self.content_type = 0, ""
        self.failure: Failure | None = None
        self.is_done = self.is_reusable = self.ends_with_connection = self._is_framed = False
        self._silent_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """What `data` holds of the body."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._stumble()
        body = self._body
        if not body:
            self._note_silence(len(data))
            return b""
        self._silent_bytes = 0
        arrived = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return arrived

    def _stumble(self) -> None:
        """What comes after the end of an answer spoils the connection, not the answer."""
        self.is_reusable = False
        if not self.is_done:
            self.failure = Failure.BAD_HTTP

    def _note_silence(self, size: int) -> None:
        self._silent_bytes += size
        if self._silent_bytes > MAX_SILENT_BYTES and not (self.is_done or self.failure):
            self.failure = Failure.BAD_HTTP if self.status else Failure.HEAD_TOO_LARGE

    def on_message_begin(self) -> None:
        if self.is_done:
            raise ValueError("more than one answer")
        self.content_type, self._is_framed = "", False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name not in _FRAMING or self.status:  # past the head it is a trailer
            return
        value = value.strip().lower()
        if name == b"content-type":
            self.content_type = value.partition(b";")[0].rstrip().decode("latin-1")
        elif name == b"content-length":
            self._is_framed = True
        elif name == b"transfer-encoding":
            self._is_framed = True
            if value != b"chunked":
                raise ValueError("a coding of transfers that nobody asked for")
        elif value != b"identity":
            raise ValueError("a compressed body, which nobody asked for")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not 100 <= status <= 599:
            raise ValueError("no status of HTTP")
        if status >= 200:
            self.status = status
            self.ends_with_connection = not (self._is_framed or status in _BODILESS)
            self.is_reusable = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.is_done = self.status != 0
