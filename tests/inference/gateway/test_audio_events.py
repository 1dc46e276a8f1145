"""The stream of a transcription, cut anywhere, means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines import ENGINES, NO_USAGE, Usage
from inference.engines.vllm import seconds_heard, tells_seconds
from inference.gateway.audio.answers import FORMATS as WRITERS
from inference.gateway.audio.answers import Heard, Segment, Transcript, heard_read
from inference.gateway.audio.events import TranscriptStream, heard_in

VLLM = ENGINES["vllm"]
TOKENS = 4 + 350
"""Of three seconds and a half."""


def chunk(content: str | None, tokens: int = TOKENS) -> bytes:
    choices = [] if content is None else [{"delta": {"content": content}}]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens + 1, "completion_tokens": 1}
    head = {"id": "transcribe-1", "object": "transcription.chunk", "created": 1, "model": "tiny"}
    text = json.dumps({**head, "choices": choices, "usage": usage}, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


STREAM = b"".join(map(chunk, ("Über", "", ' "die"', " Brücke", None))) + b"data: [DONE]\n\n"
DOCUMENT = json.dumps({"text": 'Ett {"}" hus', "usage": {"type": "duration", "seconds": 4}})


def fed(data: bytes, *cuts: int) -> tuple[TranscriptStream, list[dict[str, Any]]]:
    stream, out, at = TranscriptStream(VLLM, "acme/whisper"), b"", 0
    for cut in (*sorted(cuts), len(data)):
        if cut > at:
            out, at = out + stream.feed(data[at:cut]), cut
    return stream, [json.loads(event[6:]) for event in out.split(b"\n\n") if event]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_means_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    stream, events = fed(STREAM, *cuts)
    assert [event.get("delta") for event in events] == ["Über", ' "die"', " Brücke", None]
    assert events[-1] == {
        "type": "transcript.text.done", "text": "Über \"die\" Brücke",
        "usage": {"type": "duration", "seconds": 4},
    }  # fmt: skip
    assert (stream.is_done, stream.is_broken, stream.usage) == (True, False, Usage(0, 0, 0, 4))


@given(st.lists(st.integers(0, len(DOCUMENT)), max_size=5))
def test_a_whole_answer_in_place_of_a_stream_comes_as_one_delta(cuts: list[int]) -> None:
    stream, (delta, done) = fed(DOCUMENT.encode(), *cuts)
    assert delta["delta"] == done["text"] == 'Ett {"}" hus'
    assert (stream.is_done, stream.usage) == (True, Usage(0, 0, 0, 4))


def test_the_seconds_are_known_from_the_first_event_on() -> None:
    stream, events = fed(chunk("a"))
    assert (len(events), stream.usage.audio_seconds, stream.is_done) == (1, 4, False)
    assert fed(chunk("a")[:-1])[0].usage == NO_USAGE


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"error": {"message": "dead", "code": 500}}\n\ndata: [DONE]\n\n',
        b"data: {not json\n\n" + STREAM,
        b"data: [DONE]\n\n",
        chunk("a", tokens=3) + b"data: [DONE]\n\n",
        b'data: {"choices":[{"delta":{"content":7}}]}\n\n',
    ],
)
def test_what_is_no_answer_breaks_the_stream(data: bytes) -> None:
    stream, events = fed(data)
    assert (stream.is_broken, stream.is_done) == (True, False)
    assert not any(event["type"] == "transcript.text.done" for event in events)
    assert heard_in(data, VLLM) is None


@pytest.mark.parametrize(("samples", "rate"), [(1, 16000), (159, 16000), (16000 * 7, 16000)])
def test_frames_and_duration_give_the_same_seconds(samples: int, rate: int) -> None:
    told = heard_read(json.dumps({"text": "", "duration": samples / rate}).encode())
    assert told
    assert told.seconds == seconds_heard(Usage(4 + -(-samples * 100 // rate), 0, 0))


@given(st.integers(0, 16000 * 3600))
def test_every_length_gives_the_same_seconds_streamed_or_not(samples: int) -> None:
    frames = -int(-(samples / 16000) * 16000 // 160)  # as the engine counts, in floats
    told = heard_read(b'{"text":"","duration":%b}' % repr(samples / 16000).encode())
    assert told
    assert told.seconds == seconds_heard(Usage(4 + frames, 0, 0)) == -(-samples // 16000)


@pytest.mark.parametrize(
    ("model", "language", "prompt", "tells"),
    [
        ("Whisper openai/large-v3", None, None, True),
        (" kb-whisper", "sv", "", True),
        ("Whisper w", "yue", None, False),
        ("Whisper w", "sv", "Åsa", False),
        ("Voxtral mistral", "sv", None, False),
    ],
)
def test_a_stream_tells_seconds_only_where_its_other_tokens_are_known(
    model: str, language: str | None, prompt: str | None, tells: bool
) -> None:
    assert tells_seconds(model, language, prompt) is tells


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"null",
        b'{"text":"a"}',
        b'{"text":"a","duration":-1}',
        b'{"text":"a","duration":"1"}',
        b'{"text":"a","usage":{"type":"duration","seconds":-1}}',
        b'{"text":"a","usage":{"seconds":""}}',
        b'{"text":"a","usage":{"type":"tokens","seconds":1}}',
    ],
)
def test_an_answer_without_its_seconds_cannot_be_billed(document: bytes) -> None:
    assert heard_read(document) is None


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(0, 0, start, end, text, [], 0.0, 0.0, 0.0)


def test_subtitles_hold_one_line_for_each_segment() -> None:
    segments = [
        segment(0, 59.9996, " a -->\n b "),
        segment(3599.5, 36000, "  "),
        segment(1, 2, "c"),
    ]
    heard = Heard(Transcript("x", segments=segments), 1)
    assert WRITERS["srt"][1](heard, "").decode() == (
        "1\n00:00:00,000 --> 00:01:00,000\na -> b\n\n2\n00:00:01,000 --> 00:00:02,000\nc\n\n"
    )
    assert WRITERS["vtt"][1](heard, "").startswith(b"WEBVTT\n\n00:00:00.000 --> 00:01:00.000\n")
