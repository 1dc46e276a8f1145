"""Forms with a file that are not what they should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import inspect as types

from tests.inference.gateway.conftest import LISTENER, MODEL
from tests.inference.gateway.hostile.bodies import ENGINE_FIELDS
from tests.inference.gateway.hostile.case import Case, Header, posted
from tests.inference.gateway.hostile.fields import beyond

FORMS: Final = ("audio/transcriptions", "audio/translations")
FILE: Final = b"RIFF\x24\0\0\0WAVEfmt " + bytes(24)

_MARK: Final = b"a-boundary"
_TYPE: Final = ("Content-Type", b"multipart/form-data; boundary=" + _MARK)
_FILE: Final = b'Content-Disposition: form-data; name="file"; filename="speech.wav"'

_OTHER_TYPES: Final = (
    b"", b"application/json", b"text/plain", b"multipart", b"multipart/form-data-x", b"\xff\xfe",
    b"multipart/mixed; boundary=" + _MARK, b"; boundary=x", b"application/x-www-form-urlencoded",
)  # fmt: skip
_OPTIONS: Final = (
    b"", b"; boundary", b"; boundary=", b'; boundary=""', b'; boundary="', b"; boundary=x",
    b"; boundary=" + b"x" * 71, b"; boundary=" + b"x" * 9000, b"; boundary=\xff",
    b"; boundary*=utf-8''a-boundary", b"; boundary*0=a-; boundary*1=boundary", b"; Boundry=x",
)  # fmt: skip

type Part = tuple[bytes, bytes]


def _field(name: str, value: str | bytes) -> Part:
    data = value if isinstance(value, bytes) else value.encode()
    return f'Content-Disposition: form-data; name="{name}"'.encode(), data


_GOOD: Final[tuple[Part, ...]] = (_field("model", LISTENER), (_FILE, FILE))


def form(parts: Iterable[Part] = _GOOD, mark: bytes = _MARK) -> bytes:
    """A form of `parts`, each of its headers and its data."""
    written = (b"--%b\r\n%b\r\n\r\n%b\r\n" % (mark, head, data) for head, data in parts)
    return b"".join(written) + b"--%b--\r\n" % mark


def _case(name: str, path: str, body: bytes, *statuses: int, kind: Header = _TYPE) -> Case:
    steps = (posted(f"/v1/{path}", body, kind),)
    return Case(f"{path}: {name}", steps, frozenset(statuses or {400}), f"/v1/{path}")


def cases(path: str, body: type) -> Iterator[Case]:
    yield from _values(path, body)
    yield from _broken(path)
    yield from _kinds(path)


def _values(path: str, body: type) -> Iterator[Case]:
    """A wrong text at every field that is more than a text."""
    info = types.type_info(body)
    assert isinstance(info, types.StructType)
    for field in info.fields:
        for number, text in enumerate(_wrong(field.type)):
            parts = [*_without(field.encode_name), _field(field.encode_name, text)]
            yield _case(f"{field.encode_name} {number}", path, form(parts))
        if field.required:
            yield _case(f"no {field.encode_name}", path, form(_without(field.encode_name)))
    for name in ENGINE_FIELDS:
        yield _case(name, path, form([*_GOOD, _field(name, "1")]))
    for name, model, status in (("an unknown model", "whisper-1", 404), ("a chat", MODEL, 400)):
        yield _case(name, path, form([_field("model", model), _GOOD[1]]), status)


def _without(name: str) -> list[Part]:
    return [part for part in _GOOD if f'name="{name}"'.encode() not in part[0]]


def _wrong(type_: types.Type) -> Iterator[str | bytes]:
    options = type_.types if isinstance(type_, types.UnionType) else (type_,)
    for option in options:
        match option:
            case types.IntType() | types.FloatType():
                yield from ("no such value", "{}", "NaN", "-Infinity", "1e999", "0x10", "9" * 9000)
                yield from map(str, beyond(option))
            case types.BoolType():
                yield from ("maybe", "7", "{}")
            case types.LiteralType() | types.ListType():
                yield from ("no such value", "json\0", "{{7*7}}")
            case types.StrType():
                yield b"\xff\xfe"
                if option.pattern:
                    yield from ("../../etc/passwd", "x" * 1000, "en\n")
                if option.max_length:
                    yield "x" * (option.max_length + 1)


def _broken(path: str) -> Iterator[Case]:
    good, name = form(), b'Content-Disposition: form-data; name="x"'
    for label, body in {
        "nothing": b"",
        "text": b"hello",
        "JSON": b'{"model": "x", "file": "y"}',
        "another boundary": form(mark=b"another"),
        "no end": good[: -len(_MARK) - 6],
        "half of it": good[: len(good) // 2],
        "no parts": form([]),
        "an end alone": b"--" + _MARK + b"--",
        "LF alone": good.replace(b"\r\n", b"\n"),
        "100 parts": form([*_GOOD, *([_field("x", "y")] * 100)]),
        "20,000 parts": form([*_GOOD, *([(b"", b"")] * 20_000)]),
        "boundaries alone": (b"--" + _MARK + b"\r\n") * 20_000,
        "boundaries with blanks": (b"--" + _MARK + b" " * 30 + b"\r\n") * 10_000,
        "dashes": b"-" * 500_000,
        "line ends": b"\r\n" * 250_000,
        "a part without headers": form([*_GOOD, (b"", b"x")]),
        "a part without a name": form([*_GOOD, (b"Content-Disposition: form-data", b"x")]),
        "a part with an empty name": form([*_GOOD, _field("", "x")]),
        "an attachment": form([*_GOOD, (b'Content-Disposition: attachment; name="x"', b"x")]),
        "a header without a colon": form([*_GOOD, (name + b"\r\nhello", b"x")]),
        "a header with a NUL": form([*_GOOD, (name + b"\r\nX\0: y", b"x")]),
        "the model twice": form([*_GOOD, _field("model", LISTENER)]),
        "the file twice": form([*_GOOD, _GOOD[1]]),
        "a file that is text": form([_GOOD[0], _field("file", FILE)]),
        "a model that is a file": form([_GOOD[1], (
            b'Content-Disposition: form-data; name="model"; filename="x"', LISTENER.encode()
        )]),
        "an empty file": form([_GOOD[0], (_FILE, b"")]),
        "a stream of subtitles": form([
            *_GOOD, _field("stream", "true"), _field("response_format", "srt")
        ]),
    }.items():  # fmt: skip
        yield _case(label, path, body)
    yield _case("too large", path, form([_GOOD[0], (_FILE, bytes(1_000_000))]), 413)


def _kinds(path: str) -> Iterator[Case]:
    """Content types that name no boundary, or nothing that a form could be."""
    form_type = _TYPE[1].partition(b";")[0]
    for number, kind in enumerate((*_OTHER_TYPES, *(form_type + more for more in _OPTIONS))):
        yield _case(f"type {number}", path, form(), 400, 415, kind=("Content-Type", kind))
