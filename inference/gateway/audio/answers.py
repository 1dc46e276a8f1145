"""What an engine heard, and the five formats of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from inference.engines import Usage
from inference.gateway.endpoint import JSON

Seconds = Annotated[float, Meta(ge=0)]


class Duration(Struct, tag_field="type", tag="duration"):
    """What is billed: whole seconds of audio, rounded up."""

    seconds: Annotated[int, Meta(ge=0)]


class Segment(Struct):
    """A part of the text, from `start` to `end` in seconds."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float | None = None


class Transcript(Struct, omit_defaults=True):
    """A whole answer, as `json`. `verbose_json` has the optional fields too.

    A stream sends `transcript.text.delta` events, and `transcript.text.done` with the whole text.
    """

    text: str
    task: str | None = None
    language: str | None = None
    duration: Seconds | None = None
    segments: list[Segment] | None = None
    usage: Duration | None = None


class Heard(NamedTuple):
    """What an engine answered, and the seconds that it counted."""

    told: Transcript
    seconds: int

    @property
    def usage(self) -> Usage:
        return Usage(0, 0, 0, self.seconds)

    @property
    def duration(self) -> Duration:
        return Duration(self.seconds)


_decode: Final = msgspec.json.Decoder(Transcript).decode


def heard_read(document: bytes) -> Heard | None:
    """A whole answer of an engine; None when it does not tell its seconds."""
    try:
        told = _decode(document)
    except msgspec.MsgspecError:
        return None
    if told.usage:
        return Heard(told, told.usage.seconds)
    return None if told.duration is None else Heard(told, math.ceil(told.duration))


def _json(heard: Heard, task: str) -> bytes:
    return msgspec.json.encode(Transcript(heard.told.text, usage=heard.duration))


def _text(heard: Heard, task: str) -> bytes:
    return f"{heard.told.text.strip()}\n".encode()


def _verbose(heard: Heard, task: str) -> bytes:
    """Engines number the segments anew after each half minute."""
    told = heard.told
    segments = [
        msgspec.structs.replace(segment, id=number)
        for number, segment in enumerate(told.segments or ())
    ]
    whole = msgspec.structs.replace(told, task=task, segments=segments, usage=heard.duration)
    return msgspec.json.encode(whole)


def _srt(heard: Heard, task: str) -> bytes:
    cues = enumerate(_cues(heard, ","), start=1)
    return "".join(f"{number}\n{cue}" for number, cue in cues).encode()


def _vtt(heard: Heard, task: str) -> bytes:
    return ("WEBVTT\n\n" + "".join(_cues(heard, "."))).encode()


def _cues(heard: Heard, point: str) -> Iterator[str]:
    """An arrow within a text would begin another cue."""
    for segment in heard.told.segments or ():
        if text := re.sub(r"\s+", " ", segment.text).strip().replace("-->", "->"):
            yield f"{_clock(segment.start, point)} --> {_clock(segment.end, point)}\n{text}\n\n"


def _clock(time_s: float, point: str) -> str:
    total_s, ms = divmod(round(time_s * 1000), 1000)
    minutes, s = divmod(total_s, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{s:02}{point}{ms:03}"


type Writer = Callable[[Heard, str], bytes]

FORMATS: Final[Mapping[str | None, tuple[str, Writer]]] = {
    None: (JSON, _json),
    "json": (JSON, _json),
    "verbose_json": (JSON, _verbose),
    "text": ("text/plain; charset=utf-8", _text),
    "srt": ("application/x-subrip; charset=utf-8", _srt),
    "vtt": ("text/vtt; charset=utf-8", _vtt),
}
"""By `response_format`: the content type, and how it is written."""
