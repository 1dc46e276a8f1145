"""Forms with a file, as `multipart/form-data`: read strictly in memory, and written anew.

What an engine gets is written here, so that gateway and engine never read a form differently.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from inference.gateway.errors import InvalidRequest, UnsupportedMedia

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # the library has it for types alone

FORM: Final = "multipart/form-data"
MAX_PARTS: Final = 64
_NO_PART: Final = memoryview(b"")
_STARTS: Final = (
    (0, b"RIFF", "wav"), (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (0, b"ID3", "mp3"),
    (0, b"\xff", "mp3"), (0, b"\x1aE\xdf\xa3", "webm"), (4, b"ftyp", "m4a"),
)  # fmt: skip


class Part(NamedTuple):
    """A field of a form; a file has a name, which nobody needs."""

    name: str
    data: memoryview
    is_file: bool


def form_read(data: bytes, content_type: str) -> list[Part]:
    """The parts of a form. Raises UnsupportedMedia, and InvalidRequest when it is malformed."""
    boundary = _boundary(content_type)
    _check(data, b"\r\n--" + boundary)
    form = _Form(data)
    try:
        MultipartParser(boundary, form.callbacks).write(data)
    except FormParserError:
        raise _malformed("its parts cannot be told apart") from None
    if not form.is_whole:
        raise _malformed("it has no end")
    return form.parts


def _check(data: bytes, delimiter: bytes) -> None:
    """The parser takes its time for what surrounds each part, so that there may be little of it."""
    if data.count(delimiter) > MAX_PARTS:
        raise _malformed(f"it has more than {MAX_PARTS} parts")
    if delimiter + b" " in data or delimiter + b"\t" in data:
        raise _malformed("a boundary is followed by blanks")


def form_write(fields: Iterable[tuple[str, str]], file: memoryview) -> tuple[bytes, str]:
    """The body of a form with a `file`, and its content type."""
    boundary = secrets.token_hex(16)
    parts: list[bytes | memoryview] = []
    for name, value in fields:
        parts += [_head(boundary, f'name="{name}"'), value.encode(), b"\r\n"]
    parts += [_head(boundary, f'name="file"; filename="{_neutral_name(file)}"'), file]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(parts), f"{FORM}; boundary={boundary}"


def _head(boundary: str, disposition: str) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()


def _neutral_name(file: memoryview) -> str:
    """The client's own name for a file is none of an engine's business; its kind may help."""
    start = bytes(file[:12])
    kinds = (kind for at, magic, kind in _STARTS if start.startswith(magic, at))
    return f"audio.{next(kinds, 'bin')}"


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != FORM.encode():
        raise UnsupportedMedia
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        text = f"The `Content-Type` has no `boundary`. Let your client write it: `{FORM}; …`."
        raise InvalidRequest(text, code="invalid_form")
    return boundary


def _malformed(why: str) -> InvalidRequest:
    return InvalidRequest(f"The form is malformed: {why}. Send it again.", code="invalid_form")


class _Form:
    """What the parser finds, bit by bit."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self.parts: list[Part] = []
        self.is_whole = False
        self._header, self._headers = b"", dict[bytes, bytes]()
        self._data = _NO_PART

    @property
    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._name,
            "on_header_value": self._value,
            "on_part_data": self._fill,
            "on_part_end": self._end,
            "on_end": self._close,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, _NO_PART

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header = data[start:end].lower()

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._headers[self._header] = data[start:end]

    def _fill(self, data: bytes, start: int, end: int) -> None:
        """Once for each part: the parser has the whole form at once."""
        self._data = self._view[start:end]

    def _end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode(errors="replace")
        if kind != b"form-data" or not name:
            raise _malformed("a part has no name")
        self.parts.append(Part(name, self._data, b"filename" in options))

    def _close(self) -> None:
        self.is_whole = True
