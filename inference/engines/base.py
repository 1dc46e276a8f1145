"""What one engine kind does differently from another, as data and pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple

import msgspec

from inference.engines.load import LoadMetrics

Count = Annotated[int, msgspec.Meta(ge=0)]


class Usage(NamedTuple):
    """What an engine counted. Cached tokens are part of the input tokens."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    audio_seconds: int = 0


NO_USAGE: Final = Usage(0, 0, 0)


class Fault(NamedTuple):
    """What the customer did wrong, in our words: an engine's own words leak names and paths."""

    message: str
    param: str | None
    code: str | None


class EngineError(msgspec.Struct):
    """The inside of an engine's error answer."""

    message: str = ""
    type: str = ""
    param: str | None = None
    code: int | str | None = None

    @property
    def status(self) -> int:
        """The HTTP status that an error within a stream would have had."""
        return self.code if isinstance(self.code, int) else 500


@dataclass(frozen=True, slots=True)
class Hearing:
    """How an engine tells the seconds of a file that it heard, where its streams do not say."""

    stream_fields: Mapping[str, str]
    """What to ask for, so that each event of a stream has a count."""
    tells: Callable[[str, str | None, str | None], bool]
    """(model, language, prompt) -> whether `seconds` can be told from a stream."""
    seconds: Callable[[Usage], int | None]
    """Whole seconds, rounded up, as of the same file in a whole answer."""


@dataclass(frozen=True, slots=True)
class Engine:
    """`running_count` are the bytes of an event which holds a count so far; `choice_of` finds the
    index of the one choice that it is of. `cut` removes from the bytes of a stream what the gateway
    asked for and the client did not.
    """

    health_path: str
    load: LoadMetrics
    max_choices: int
    running_count: bytes
    choice_of: re.Pattern[bytes] | None
    cut: Callable[[bytes], bytes]
    request_fields: Callable[[str, int, bool], bytes]
    """(cache salt, priority, streamed) -> JSON members, each with a comma before it."""
    usage_read: Callable[[bytes], Usage | None]
    """Usage in one JSON document: a whole answer or the data of one event."""
    fault_read: Callable[[EngineError], Fault | None]
    """The customer's fault behind a 4xx of the engine; None when it is not the customer's."""
    count_read: Callable[[bytes], int | None] | None = None
    """The tokens in an answer to `/tokenize`; None where that knows no chats."""
    hearing: Hearing | None = None
    """None where no audio file can be heard."""


class _Details(msgspec.Struct):
    cached_tokens: Count | None = None


class OpenAIUsage(msgspec.Struct):
    """The member `usage` of OpenAI's answers."""

    prompt_tokens: Count
    completion_tokens: Count = 0
    prompt_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        details = self.prompt_tokens_details
        cached = details.cached_tokens if details else None
        return Usage(
            self.prompt_tokens, min(cached or 0, self.prompt_tokens), self.completion_tokens
        )


class _ErrorAnswer(msgspec.Struct):
    error: EngineError


_decode_error: Final = msgspec.json.Decoder(_ErrorAnswer).decode


def error_read(body: bytes) -> EngineError:
    """The error in `body`, empty when there is none to be read."""
    try:
        return _decode_error(body).error
    except msgspec.MsgspecError:
        return EngineError()


def cutter(*names: bytes) -> Callable[[bytes], bytes]:
    """A function that cuts the members `names` out of JSON, where they are objects.

    Such an object may hold others that hold none. Those that hold none at all, as the counts of
    all events but the last, are found in half the time that the pattern takes.
    """
    starts = [b',"%b":{' % name for name in names]
    any_object = re.compile(rb',"(?:%b)":\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}' % b"|".join(names))

    def cut(block: bytes) -> bytes:
        rest = block
        for start in starts:
            first, *parts = rest.split(start)
            kept = [first]
            for part in parts:
                end = part.find(b"}")
                if end < 0 or part.find(b"{", 0, end) >= 0:
                    return any_object.sub(b"", block)
                kept.append(part[end + 1 :])
            rest = b"".join(kept)
        return rest

    return cut


def last_count(engine: Engine, block: bytes) -> bytes:
    """The data of the last event that holds a count in `block`, whole server-sent events."""
    at = block.rfind(engine.running_count)
    if at < 0:
        return b"{}"
    before, end = block.rfind(b"\n\n", 0, at), block.find(b"\n\n", at)
    event = block[max(before, 0) : end if end >= 0 else len(block)]
    return event[event.find(b"{") :]


def counts(engine: Engine, block: bytes) -> dict[int, bytes]:
    """The data of the last event with a count in `block` by the choice that it counts."""
    if engine.choice_of is None:
        return {}
    return {
        int(found[1]): event[event.find(b"{") :]
        for event in block.split(b"\n\n")
        if engine.running_count in event and (found := engine.choice_of.search(event))
    }


def counts_added(engine: Engine, counted: Mapping[int, bytes], n: int) -> Usage:
    """The usage of a request with `n` choices a prompt, by the last count of each choice.

    Each prompt counts once, however many choices it has.
    """
    usages = {index: engine.usage_read(data) or NO_USAGE for index, data in counted.items()}
    prompts = {index // n: usage for index, usage in usages.items()}
    return Usage(
        sum(usage.input_tokens for usage in prompts.values()),
        sum(usage.cached_tokens for usage in prompts.values()),
        sum(usage.output_tokens for usage in usages.values()),
    )


PROMPT_TOO_LONG: Final = Fault(
    "`messages` hold more than this model's context. Shorten them, or drop older ones.",
    "messages",
    "context_length_exceeded",
)
MAX_TOKENS_TOO_LARGE: Final = Fault(
    "`max_tokens` is larger than this model's context. Send a smaller number.",
    "max_tokens",
    "context_length_exceeded",
)
NO_TOOLS: Final = Fault(
    "This model does not take `tools`. Send the request without them, or choose another model.",
    "tools",
    "unsupported_parameter",
)
TEXT_ONLY: Final = Fault(
    "This model takes text only. Remove images and audio from `messages`.",
    "messages",
    "unsupported_content",
)
ONE_SIZE: Final = Fault(
    "This model does not give vectors of that size. Remove `dimensions`, or choose another.",
    "dimensions",
    "invalid_value",
)
GREEDY_CHOICES: Final = Fault(
    "With `temperature` 0 all choices are the same. Send `n` 1, or a higher temperature.",
    "n",
    "invalid_value",
)
BAD_FORMAT: Final = Fault(
    "The engine cannot follow this `response_format`. Simplify its JSON schema.",
    "response_format",
    "invalid_response_format",
)
INVALID_AUDIO: Final = Fault(
    "`file` cannot be read as audio. Send a whole FLAC, MP3, MP4, M4A, OGG, WAV or WebM.",
    "file",
    "invalid_audio",
)
AUDIO_TOO_LONG: Final = Fault(
    "`file` is longer or larger than this model takes. Split it, or compress it.",
    "file",
    "audio_too_long",
)
UNKNOWN_LANGUAGE: Final = Fault(
    "This model does not know that `language`. Send another, or none and it finds out.",
    "language",
    "invalid_value",
)
NO_TIMES: Final = Fault(
    "This model gives no times. Send `response_format` `json` or `text`.",
    "response_format",
    "invalid_value",
)
