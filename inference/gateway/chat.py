"""What an engine says in a chat, read into structs: a whole answer, or the events of a stream.

APIs other than chat completions are translated from these. What an engine adds of its own is
dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from inference.engines.base import Count

_DATA: Final = b"data: "
_DONE: Final = b"[DONE]"


class Called(Struct):
    """The function of a tool call; of a delta only a piece of it."""

    name: str | None = None
    arguments: str | None = None


class Call(Struct):
    """A tool call. `index` tells the calls of a stream apart."""

    id: str | None = None
    index: int = 0
    function: Called | None = None


class Said(Struct):
    """A message, or the piece of it that a delta is."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None

    @property
    def thought(self) -> str:
        """The reasoning, by whichever name the engine has for it."""
        return self.reasoning or self.reasoning_content or ""


class TopLogprob(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class Logprob(TopLogprob):
    top_logprobs: list[TopLogprob] | None = None


class Logprobs(Struct):
    content: list[Logprob] | None = None


class OutputDetails(Struct):
    reasoning_tokens: Count | None = None


class Counted(Struct):
    """Of `usage` what the gateway's own reading of it leaves out."""

    completion_tokens_details: OutputDetails | None = None

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return (details.reasoning_tokens or 0) if details else 0


class Choice(Struct):
    message: Said
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: Logprobs | None = None


class ChoiceDelta(Struct):
    delta: Said
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: Logprobs | None = None


class Answer(Struct):
    """A `chat.completion`."""

    choices: list[Choice]
    usage: Counted | None = None


class Chunk(Struct):
    """A `chat.completion.chunk`; without choices it carries the usage."""

    choices: list[ChoiceDelta]
    usage: Counted | None = None


_decode_answer: Final = msgspec.json.Decoder(Answer).decode
_decode_chunk: Final = msgspec.json.Decoder(Chunk).decode


def answer_read(document: bytes) -> Answer | None:
    """A whole answer; None when it is none that has a choice."""
    try:
        answer = _decode_answer(document)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return answer if answer.choices else None


def chunks_read(events: bytes) -> Iterator[Chunk | None]:
    """Each of the whole server-sent `events` but `[DONE]`; None for one that cannot be read."""
    for event in events.split(b"\n\n"):
        data = event.removeprefix(_DATA)
        if len(data) == len(event) or data == _DONE:
            continue
        try:
            yield _decode_chunk(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield None
