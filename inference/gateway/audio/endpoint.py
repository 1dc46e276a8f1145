"""Transcriptions and translations: billed by the seconds that an engine heard."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple, override

from inference.engines import Engine
from inference.gateway.audio.answers import FORMATS, Transcript
from inference.gateway.audio.bodies import AudioBody, TranscriptionBody, TranslationBody, body_read
from inference.gateway.audio.events import TranscriptStream, heard_in
from inference.gateway.audio.form import FORM, form_read, form_write
from inference.gateway.audio.length import seconds_most
from inference.gateway.bounds import Bound, Sent
from inference.gateway.endpoint import EVENTS, JSON, Answer, Asked, Endpoint, Question
from inference.gateway.errors import InvalidRequest
from inference.models import Task

_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


class _Plan(NamedTuple):
    """What an engine is asked for, so that it tells its seconds."""

    response_format: str
    stream_fields: Mapping[str, str] = _NO_FIELDS


class Listening[B: AudioBody](Endpoint[B]):
    """A file in, text out. The formats are written here, since engines know only some."""

    limit = "GATEWAY_MAX_AUDIO_BODY_BYTES"
    takes = FORM
    streams_as = frozenset({EVENTS, JSON})
    shape = Transcript
    example: ClassVar = {"file": "speech.mp3"}
    renamed: ClassVar = {"messages": "prompt"}
    word: ClassVar[str]
    """What the answer calls the task."""
    plain: ClassVar[str]
    """The format of a whole answer that is text alone, and tells the seconds."""

    @override
    def read(self, data: bytes, content_type: str) -> B:
        return body_read(self.body, form_read(data, content_type))

    @override
    def bound(self, body: B, sent: Sent) -> Bound:
        return Bound(audio_seconds=seconds_most(body.file))

    @override
    def question(self, body: B, asked: Asked) -> Question:
        plan = self._plan(body, asked)
        ours = {"model": asked.model, "response_format": plan.response_format}
        fields = {**dict(body.passed), **ours, **plan.stream_fields}
        return Question(f"/v1/{self.path}", *form_write(fields.items(), body.file))

    @override
    def answer(self, data: bytes, body: B, engine: Engine, model: str) -> Answer | None:
        heard = heard_in(data, engine)
        if heard is None:
            return None
        content_type, write = FORMATS[body.response_format]
        return Answer(write(heard, self.word), heard.usage, content_type)

    @override
    def stream(self, body: B, engine: Engine, model: str) -> TranscriptStream:
        return TranscriptStream(engine, model)

    def _plan(self, body: B, asked: Asked) -> _Plan:
        """Raises InvalidRequest when this kind of engine hears nothing."""
        hearing = asked.engine.hearing
        if hearing is None:
            text = f"The model `{body.model}` takes no files. Choose another."
            raise InvalidRequest(text, param="model", code="model_not_supported")
        if body.is_timed:
            return _Plan("verbose_json")
        known = f"{asked.family} {asked.model}"
        wants_stream = body.stream or self.plain != "json"
        if wants_stream and hearing.tells(known, body.language, body.prompt):
            return _Plan("json", hearing.stream_fields)
        return _Plan(self.plain)


class Transcriptions(Listening[TranscriptionBody]):
    task = Task.TRANSCRIPTION
    word = "transcribe"
    plain = "json"


class Translations(Listening[TranslationBody]):
    """Of a whole `json` no engine tells the seconds: a stream is read to its end instead.

    That has the same text; the one with times may lack what was said after the last of them.
    """

    task = Task.TRANSLATION
    word = "translate"
    plain = "verbose_json"
