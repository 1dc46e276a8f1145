"""Forms are read strictly, whatever is in them, and written so that they are read the same."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.gateway.audio.form import MAX_PARTS, Part, form_read, form_write
from inference.gateway.errors import InvalidRequest, UnsupportedMedia

TYPE = "multipart/form-data; boundary=B"


def part(name: str, data: bytes, file_name: str | None = None) -> bytes:
    tail = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def found(parts: list[Part]) -> list[tuple[str, bytes, bool]]:
    return [(one.name, bytes(one.data), one.is_file) for one in parts]


def test_fields_and_files_are_told_apart() -> None:
    file = b"\r\n--A\r\n--B-\r\n--Bx\r\n--"
    body = part("model", b"m") + part("file", file, "a;b.wav") + part("ä", b"") + b"--B--"
    assert found(form_read(body, TYPE)) == [
        ("model", b"m", False), ("file", file, True), ("ä", b"", False),
    ]  # fmt: skip


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_is_written_is_read_the_same(file: bytes, prompt: str) -> None:
    data, content_type = form_write([("prompt", prompt)], memoryview(file))
    assert found(form_read(data, content_type)) == [
        ("prompt", prompt.encode(), False), ("file", file, True),
    ]  # fmt: skip


@given(st.binary(max_size=300), st.integers(0, 200))
def test_junk_is_a_fault_of_the_customer(junk: bytes, at: int) -> None:
    whole = part("file", b"x" * 50, "a.wav") + b"--B--\r\n"
    for body in (junk, whole[:at] + junk + whole[at:], part("a", b"x") + b"--B" + junk):
        with suppress(InvalidRequest):
            assert all(one.name for one in form_read(body, TYPE))


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RIFF", "wav"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"),
        (b"\xff\xf3", "mp3"), (b"\x1aE\xdf\xa3", "webm"),
        (b"\x00\x00\x00\x20ftypM4A ", "m4a"), (b"?", "bin"),
    ],
)  # fmt: skip
def test_an_engine_gets_a_neutral_name_of_the_right_kind(start: bytes, kind: str) -> None:
    data, _ = form_write([], memoryview(start + bytes(20)))
    assert f'filename="audio.{kind}"'.encode() in data


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/mixed; boundary=B", "text/plain", "multipart"],
)
def test_only_forms_are_taken(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        form_read(part("a", b"x") + b"--B--", content_type)


@pytest.mark.parametrize("boundary", ["", "; boundary=", '; boundary=""', f"; boundary={'B' * 71}"])
def test_a_form_needs_a_boundary(boundary: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        form_read(part("a", b"x") + b"--B--", f"multipart/form-data{boundary}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--B--x"[:3],
        part("a", b"x"),
        part("a", b"x") + b"--B",
        part("a", b"x") + b"--B \r\n\r\n",
        part("a", b"x") * (MAX_PARTS + 2) + b"--B--",
        part("", b"x") + b"--B--",
        b'--B\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--B--',
        b"--B\r\n\r\nx\r\n--B--",
        b"--B\r\nX: " + b"y" * 5000 + b"\r\n\r\nx\r\n--B--",
        b"--B\r\n" + b"X: y\r\n" * 50 + b"\r\nx\r\n--B--",
    ],
)
def test_a_form_that_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        form_read(body, TYPE)
    assert caught.value.code == "invalid_form"


@pytest.mark.parametrize("unit", [b"\r\n--B", b"\r\n--B ", b"\r\n-", b"\r", b"-", b"\r\n--B\r\n"])
def test_no_form_takes_long(unit: bytes) -> None:
    size = 8_000_000
    for start in (b"", part("file", b"x", "a.wav")[:-2]):
        body = start + unit * (size // len(unit)) + b" " * size
        began = time.process_time()
        with pytest.raises(InvalidRequest):
            form_read(body, TYPE)
        assert time.process_time() - began < 1
