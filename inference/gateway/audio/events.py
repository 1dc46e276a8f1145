"""What an engine streams while it writes down what it heard, as OpenAI's typed events."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from inference.engines import NO_USAGE, Engine, Usage
from inference.gateway.audio.answers import Heard, Transcript, heard_read
from inference.gateway.relay import EventFilter

_DONE: Final = b"data: [DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta


class _Chunk(msgspec.Struct):
    choices: list[_Choice]


_decode: Final = msgspec.json.Decoder(_Chunk).decode


class TranscriptStream:
    """Turns an engine's chunks into `transcript.text.delta` and `transcript.text.done`.

    An engine whose streams do not tell the seconds was asked for a whole answer: that comes as one
    delta. `is_done` once all is here, and `heard` then; `is_broken` once the engine sent an error
    or what is no answer.
    """

    def __init__(self, engine: Engine, model: str) -> None:
        self._hearing = engine.hearing
        self._chunks = EventFilter(engine, model, wants_usage=True)
        self._document: bytes | None = None
        self._text, self.error = "", b""
        self.heard: Heard | None = None
        self._is_new, self.is_done, self.is_broken = True, False, False

    @property
    def usage(self) -> Usage:
        """The seconds of the whole file from the first event on, for it is heard before that."""
        return NO_USAGE if (seconds := self._seconds) is None else Usage(0, 0, 0, seconds)

    def feed(self, data: bytes) -> bytes:
        if self._is_new:
            self._is_new = False
            self._document = b"" if data.startswith(b"{") else None
        return self._feed_events(data) if self._document is None else self._feed_document(data)

    def _feed_events(self, data: bytes) -> bytes:
        block, sent = self._chunks.feed(data), b""
        for chunk in filter(None, block.split(b"\n\n")):
            sent += self._event(chunk)
            if self.is_broken:
                return sent
        self.is_broken, self.error = self._chunks.is_broken, self._chunks.error
        return sent

    @property
    def _seconds(self) -> int | None:
        if self.heard:
            return self.heard.seconds
        return self._hearing.seconds(self._chunks.usage) if self._hearing else None

    def _feed_document(self, data: bytes) -> bytes:
        self._document = (self._document or b"") + data
        heard = heard_read(self._document) if data.endswith(b"}") else None
        return self._delta(heard.told.text) + self._done(heard) if heard else b""

    def _event(self, chunk: bytes) -> bytes:
        if chunk == _DONE:
            return self._end()
        try:
            choices = _decode(chunk.removeprefix(b"data: ")).choices
        except msgspec.MsgspecError:
            self.is_broken = True
            return b""
        return b"".join(self._delta(choice.delta.content or "") for choice in choices)

    def _end(self) -> bytes:
        """A stream that did not count is not one that can be billed."""
        if (seconds := self._seconds) is None:
            self.is_broken = True
            return b""
        return self._done(Heard(Transcript(self._text), seconds))

    def _delta(self, text: str) -> bytes:
        self._text += text
        return _event(type="transcript.text.delta", delta=text) if text else b""

    def _done(self, heard: Heard) -> bytes:
        self.heard, self.is_done = heard, True
        return _event(type="transcript.text.done", text=self._text, usage=heard.duration)


def heard_in(data: bytes, engine: Engine) -> Heard | None:
    """What an engine heard, in the whole of what it sent; None when it is no answer."""
    stream = TranscriptStream(engine, "")
    stream.feed(data)
    return stream.heard


def _event(**members: Any) -> bytes:
    return b"data: " + msgspec.json.encode(members) + b"\n\n"
