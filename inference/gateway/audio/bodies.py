"""What a request with a file may say. A form has texts alone, which are read as their types."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from inference.gateway.audio.form import Part
from inference.gateway.bodies import REFUSED, Body, Int64, Penalty, Tokens, explain
from inference.gateway.errors import InvalidRequest

# Bytes would be described as base64, which a form is not.
File = Annotated[Any, Meta(extra_json_schema={"type": "string", "format": "binary"})]
Format = Literal["json", "text", "srt", "verbose_json", "vtt"]

TIMED: Final = frozenset({"srt", "verbose_json", "vtt"})
REFUSED_TOO: Final = frozenset({
    "include_stop_str_in_output", "length_penalty", "stream_continuous_usage_stats",
    "stream_include_usage", "watermarking",
})  # fmt: skip
LISTS: Final = frozenset({"timestamp_granularities[]"})
_NOT_PASSED: Final = frozenset({
    "file", "model", "response_format", "stream", "timestamp_granularities",
})  # fmt: skip


class AudioBody(Body, kw_only=True):
    """What transcriptions and translations share."""

    file: File
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}$(?!\n)")] | None = None
    prompt: Annotated[str, Meta(max_length=10_000)] | None = None
    response_format: Format | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Int64 | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    max_completion_tokens: Tokens | None = None

    @property
    def is_timed(self) -> bool:
        return self.response_format in TIMED

    @property
    def passed(self) -> Iterable[tuple[str, str]]:
        """The fields that an engine gets as they are."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and name not in _NOT_PASSED:
                yield name, str(value)


class TranscriptionBody(AudioBody, kw_only=True):
    """POST /v1/audio/transcriptions"""

    timestamp_granularities: list[Literal["segment"]] | None = msgspec.field(
        default=None, name="timestamp_granularities[]"
    )


class TranslationBody(AudioBody, kw_only=True):
    """POST /v1/audio/translations"""


def body_read[B: AudioBody](body_class: type[B], parts: list[Part]) -> B:
    """The parts of a form as a body; unknown ones are dropped. Raises InvalidRequest."""
    known = {field.encode_name for field in msgspec.structs.fields(body_class)}
    try:
        body = msgspec.convert(_fields(parts, known), body_class, strict=False)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    if body.stream and body.is_timed:
        text = "A stream is text alone. Send `response_format` `json`, or do not stream."
        raise InvalidRequest(text, param="response_format", code="invalid_value")
    return body


def _fields(parts: list[Part], known: Container[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in parts:
        name = _name(part.name)
        if name not in known:
            continue
        value = _file(part) if name == "file" else _text(part)
        if name in LISTS:
            fields.setdefault(name, []).append(value)
        elif name in fields:
            text = f"`{name}` is in the form twice. Send it once."
            raise InvalidRequest(text, param=name, code="invalid_value")
        elif value:
            fields[name] = value
    return fields


def _name(name: str) -> str:
    """The name of a field; that of a list may come without brackets. Raises InvalidRequest."""
    bare = name.partition("[")[0]
    if REFUSED.fullmatch(bare) or bare in REFUSED_TOO:
        text = f"`{bare}` cannot be set through this API. Remove it from the request."
        raise InvalidRequest(text, param=bare, code="unsupported_parameter")
    return f"{bare}[]" if f"{bare}[]" in LISTS else name


def _file(part: Part) -> memoryview:
    if not part.is_file:
        text = "`file` must be a file with its name, not a text: with curl, `-F file=@speech.mp3`."
    elif not part.data:
        text = "`file` is empty. Send the audio."
    else:
        return part.data
    raise InvalidRequest(text, param="file", code="invalid_value")


def _text(part: Part) -> str:
    try:
        if not part.is_file:
            return str(part.data, "utf-8")
    except UnicodeDecodeError:
        pass
    text = f"`{part.name}` must be a text in UTF-8."
    raise InvalidRequest(text, param=part.name, code="invalid_value")


def _explain(error: str) -> InvalidRequest:
    """Every field of a form is a string, so that it says nothing to say so."""
    found = explain(error)
    message = found.message.replace(", not a string", "").replace("a string ", "")
    if found.param == "language":
        message = "`language` must be a code of ISO 639-1, such as `en`."
    return InvalidRequest(message, param=found.param, code=found.code)
