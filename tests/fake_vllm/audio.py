"""What the fake engine hears: every file says SAID, and takes as long as its WAV does.

Commands stand in the prompt, or, where a prompt would change the request, in the file: `speech`
writes them there. Counts and shapes are those of a Whisper at vLLM.
"""

from __future__ import annotations

import io
import math
import re
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from tests.fake_vllm.ask import MODEL, WORDS, Ask, Json, ask_read
from tests.fake_vllm.refusals import check_model, refused

AUDIO: Final = {
    "/v1/audio/transcriptions": "transcription",
    "/v1/audio/translations": "translation",
}
TOKENS: Final = 5
START_TOKENS: Final = 4
SAID: Final = "".join(WORDS[:TOKENS])
MAX_DURATION_S: Final = 600
INVALID: Final = (
    "Invalid or corrupted audio data. Ensure the input is a valid audio or video file "
    "(e.g. a complete WAV, MP3, or MP4)."
)
_RATE: Final = 8000
_FIELD: Final = re.compile(rb'name="([^"]+)"(; filename="[^"]*")?')


def speech(duration_s: float = 1.5, say: str = "") -> bytes:
    """A WAV of silence with commands in it."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(_RATE)
        file.writeframes(bytes(round(duration_s * _RATE)))
    return sound.getvalue() + f"note{say}".encode()


@dataclass(frozen=True, kw_only=True)
class Sound(Ask):
    """What a request with a file asks."""

    task: str
    fields: Mapping[str, str]
    duration_s: float

    @property
    def streamed(self) -> bool:
        return self.fields.get("stream") == "true"


def sound_read(form: Mapping[str, bytes], task: str, request_id: str) -> Sound:
    """Raises Refused."""
    file = form["file"]
    named = {name: value.decode() for name, value in form.items() if name != "file"}
    check_model({"model": named.get("model")})
    _check(named)
    duration_s = _duration(file)
    prompt = named.get("prompt", "")
    text = f"{prompt} {file.rpartition(b'note')[2].decode(errors='replace')}"
    wants = {"include_usage": "stream_include_usage" in named}
    wants["continuous_usage_stats"] = "stream_continuous_usage_stats" in named
    body = {"prompt": text, "max_tokens": TOKENS, "stream_options": wants}
    ask = ask_read(body, is_chat=False, request_id=request_id)
    told = {field.name: getattr(ask, field.name) for field in fields(ask)}
    tokens = START_TOKENS + (len(prompt.split()) + 7 if prompt else 0)
    told["prompts"] = (tokens + math.ceil(duration_s * 100),)
    return Sound(**told, task=task, fields=named, duration_s=duration_s)


def form_of(headers: Mapping[str, str], raw: bytes) -> dict[str, bytes]:
    """The fields of a form, and under `file-name` what the file is called."""
    delimiter = b"\r\n--" + headers["content-type"].partition("boundary=")[2].encode()
    form: dict[str, bytes] = {}
    for part in (b"\r\n" + raw).split(delimiter)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        found = _FIELD.search(head)
        assert found, head
        form[found[1].decode()] = data
        if found[2]:
            form["file-name"] = found[2].partition(b'"')[2][:-1]
    return form


def _check(named: Mapping[str, str]) -> None:
    if named.get("language") == "xx":
        raise refused(400, "Unsupported language: 'xx'.  Must be one of ['af', 'ar'].")
    if named.get("response_format", "json") not in {"json", "text", "verbose_json"}:
        text = "Currently only support response_format: `text`, `json`, `verbose_json`"
        raise refused(400, text)


def _duration(file: bytes) -> float:
    try:
        with wave.open(io.BytesIO(file)) as sound:
            duration_s: float = sound.getnframes() / sound.getframerate()
    except (wave.Error, EOFError):
        raise refused(400, INVALID) from None
    if duration_s > MAX_DURATION_S:
        text = f"Audio exceeds maximum allowed duration of {MAX_DURATION_S}s (file contains "
        raise refused(400, f"{text}{duration_s:.1f}s at {_RATE}Hz). Set VLLM_MAX to increase it.")
    return duration_s


def answer(sound: Sound) -> Json:
    if sound.fields.get("response_format") == "verbose_json":
        language = sound.fields.get("language", "en")
        about = {"duration": sound.duration_s, "language": language, "text": SAID}
        return about | {"segments": _segments(sound), "words": None}
    if sound.task == "translation":
        return {"text": SAID}
    usage = {"type": "duration", "seconds": math.ceil(sound.duration_s)}
    return {"text": SAID, "usage": usage}


def _segments(sound: Sound) -> list[Json]:
    """Two, both of the number 0, as of two half minutes."""
    half = sound.duration_s / 2
    return [
        {
            "id": 0, "avg_logprob": -0.25, "compression_ratio": 0.75, "end": start + half,
            "no_speech_prob": None, "seek": int(start), "start": start, "temperature": 0.0,
            "text": text, "tokens": [1, 2],
        }
        for start, text in ((0.0, " index found"), (half, " but compile stream"))
    ]  # fmt: skip


def token_chunk(sound: Sound, index: int, position: int) -> Json:
    is_last = position == sound.output_tokens - 1
    ending = {"finish_reason": "stop", "stop_reason": None} if is_last else {}
    choice = {"delta": {"content": sound.text(position)}, **ending}
    chunk = _chunk(sound, [choice])
    return chunk | ({"usage": _usage(sound, position + 1)} if sound.continuous_usage else {})


def usage_chunk(sound: Sound) -> Json:
    return _chunk(sound, []) | {"usage": _usage(sound, sound.output_tokens)}


def _chunk(sound: Sound, choices: list[Json]) -> Json:
    head = {"id": f"{sound.task}-{sound.id}", "object": f"{sound.task}.chunk"}
    return {**head, "created": int(time.time()), "model": MODEL, "choices": choices}


def _usage(sound: Sound, output_tokens: int) -> dict[str, Any]:
    tokens = sound.prompt_tokens
    counts = {"prompt_tokens": tokens, "total_tokens": tokens + output_tokens}
    return {**counts, "completion_tokens": output_tokens}
