"""Bytes of answers, cut anywhere."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.gateway.upstream.answer import MAX_SILENT_BYTES, AnswerReader
from inference.gateway.upstream.failures import Failure
from tests.inference.gateway.upstream.engines import ANSWER, CHUNKED, HEAD, chunk

RECORDED: Final = Path(__file__).parents[3] / "fake_vllm" / "recorded"
OK: Final = b"HTTP/1.1 200 OK\r\n"
EARLY_HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nContent-Type: a/b\r\nLink: </x>\r\n\r\n"


class Case(NamedTuple):
    """An answer in bytes, and what is to be read from it. `has_end` is whether they tell it."""

    data: bytes
    status: int
    content_type: str
    body: bytes
    has_end: bool = True


def read(parts: list[bytes]) -> tuple[AnswerReader, bytes]:
    reader = AnswerReader()
    return reader, b"".join([reader.feed(part) for part in parts])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", EARLY_HINTS]))
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 429, 500, 503]))
    content_type = draw(st.sampled_from(["", "application/json", "text/event-stream"]))
    head = b"%sHTTP/1.1 %d Some Reason\r\nServer: uvicorn\r\n" % (interim, status)
    if content_type:
        name, rest = draw(st.sampled_from([("content-type", ""), ("Content-Type", "; charset=x")]))
        head += f"{name}: {content_type.title()}{rest}\r\n".encode()
    if status in {204, 304}:
        return Case(head + b"\r\n", status, content_type, b"")
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    body = b"".join(pieces)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        data = b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)
    elif framing == "chunked":
        extension, trailer = draw(st.sampled_from([(b"", b""), (b";a=b", b"Content-Type: no\r\n")]))
        chunks = b"".join(b"%X%s\r\n%s\r\n" % (len(p), extension, p) for p in pieces)
        data = head + b"transfer-encoding: Chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"
    else:
        data = head + b"\r\n" + body
    return Case(data, status, content_type, body, has_end=framing != "close")


@given(cases(), st.lists(st.integers(min_value=0), max_size=20))
def test_an_answer_is_the_same_however_it_is_cut(case: Case, places: list[int]) -> None:
    reader, body = read(cut(case.data, places))
    assert (reader.status, reader.content_type) == (case.status, case.content_type)
    assert (body, reader.failure) == (case.body, None)
    assert (reader.is_done, reader.ends_with_connection) == (case.has_end, not case.has_end)
    assert reader.is_reusable == case.has_end


@given(cases(), cases())
def test_a_connection_carries_one_answer_after_another(first: Case, second: Case) -> None:
    if first.has_end:
        reader, _ = read([first.data])
        reader.start()
        assert (reader.feed(second.data), reader.status) == (second.body, second.status)


@given(cases(), st.integers(min_value=0), st.binary(max_size=8))
def test_no_bytes_break_the_reader(case: Case, place: int, junk: bytes) -> None:
    place %= len(case.data)
    reader, _ = read([case.data[:place] + junk + case.data[place + len(junk) :]])
    assert reader.status == 0 or 200 <= reader.status <= 599
    assert not (reader.is_done and reader.failure)


@given(st.lists(st.integers(min_value=0), max_size=20))
def test_a_recorded_answer_is_read(places: list[int]) -> None:
    answer = (RECORDED / "chat_nonstream.txt").read_bytes()
    end = answer.index(b"\r\n\r\n") + 4 + 785
    reader, body = read(cut(answer[:end], places))
    assert (reader.status, reader.content_type) == (200, "application/json")
    assert (body, reader.is_done, reader.is_reusable) == (answer[end - 785 : end], True, True)


@given(st.lists(st.integers(min_value=0), max_size=20))
def test_a_recorded_stream_is_read(places: list[int]) -> None:
    head, events = (RECORDED / "chat_stream.txt").read_bytes().split(b"\r\n\r\n", 1)
    chunks = [chunk(event + b"\n\n") for event in events.split(b"\n\n") if event]
    data = head + b"\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"
    reader, body = read(cut(data, places))
    assert (reader.status, reader.content_type) == (200, "text/event-stream")
    assert (body.strip(), reader.is_done, reader.is_reusable) == (events.strip(), True, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
        OK + b"no colon\r\n\r\n",
        OK + b"Space : before\r\n\r\n",
        OK + b"A: b\r\n folded\r\n\r\n",
        OK + b"A: b\0c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\n",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: -2\r\n\r\n{}",
        OK + b"Content-Length: 2, 2\r\n\r\n{}",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        CHUNKED + b"x\r\n",
        CHUNKED + b"0x2\r\n{}\r\n",
        CHUNKED + b"-2\r\n{}\r\n",
        CHUNKED + b"2\r\n{}0\r\n",
        CHUNKED + b"2\n{}\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"0\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_answer_in_http_is_told_at_once(data: bytes) -> None:
    reader, _ = read([data])
    assert (reader.failure, reader.is_done) == (Failure.BAD_HTTP, False)


def test_an_identity_is_no_compression() -> None:
    _, body = read([HEAD + b"Content-Encoding: Identity\r\nContent-Length: 2\r\n\r\n{}"])
    assert body == b"{}"


@pytest.mark.parametrize(
    "part", [b"A: b\r\n", b"x" * 1000, b"\r\n\r\nHTTP/1.1 100 Continue\r\nA: "]
)
def test_a_head_without_end_is_cut(part: bytes) -> None:
    reader, size = AnswerReader(), 0
    reader.feed(b"HTTP/1.1 100 Continue\r\nA: ")
    while not reader.failure:
        reader.feed(part)
        size += len(part)
        assert size <= MAX_SILENT_BYTES + len(part)
    assert reader.failure is Failure.HEAD_TOO_LARGE


@pytest.mark.parametrize("start", [b"2;", b"2;a=", b"0\r\nA: "])
def test_a_chunk_extension_or_trailer_without_end_is_cut(start: bytes) -> None:
    reader, size = AnswerReader(), 0
    reader.feed(CHUNKED + chunk(b"one") + start)
    while not reader.failure:
        reader.feed(b"x" * 1000)
        size += 1000
        assert size <= MAX_SILENT_BYTES + 1000
    assert reader.failure is Failure.BAD_HTTP


def test_what_arrived_before_the_fault_is_not_lost() -> None:
    reader, body = read([CHUNKED + chunk(b"one") + chunk(b"two") + b"junk"])
    assert (body, reader.failure) == (b"onetwo", Failure.BAD_HTTP)


def test_the_end_counts_and_not_what_follows_it() -> None:
    reader, body = read([ANSWER + b"junk"])
    assert (body, reader.is_done, reader.failure) == (b"{}", True, None)
    assert not reader.is_reusable
