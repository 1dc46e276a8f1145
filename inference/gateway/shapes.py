"""How answers look, where an engine's own is passed on: for the documentation alone.

What an engine adds to them passes, too. Tests hold real answers to these.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class PromptDetails(Struct):
    """`cached_tokens` came from the cache of the engine; they have a price of their own."""

    cached_tokens: int | None


class Usage(Struct, kw_only=True):
    """What the engine counted, and what is billed."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None


class CalledFunction(Struct):
    """`arguments` is JSON as text, as the model wrote it."""

    name: str
    arguments: str


class CalledTool(Struct):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(Struct, kw_only=True):
    role: Literal["assistant"]
    content: str | None
    reasoning: str | None = None
    tool_calls: list[CalledTool] | None = None


class ChatChoice(Struct, kw_only=True):
    index: int
    message: ChatMessage
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"] | None
    logprobs: dict[str, Any] | None = None


class ChatCompletion(Struct):
    """A whole answer. A stream sends `chat.completion.chunk` events, and `[DONE]`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class TextChoice(Struct, kw_only=True):
    index: int
    text: str
    finish_reason: str | None
    logprobs: dict[str, Any] | None = None


class Completion(Struct):
    """A whole answer. A stream sends events of the same shape, and `[DONE]`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage


class Embedding(Struct):
    """The vector of the input at `index`: numbers, or base64 of 32-bit floats."""

    index: int
    object: Literal["embedding"]
    embedding: list[float] | str


class EmbeddingList(Struct):
    object: Literal["list"]
    model: str
    data: list[Embedding]
    usage: Usage


class RankedDocument(Struct):
    text: str


class Ranked(Struct, kw_only=True):
    """`index` is the place of the document in the request."""

    index: int
    relevance_score: float
    document: RankedDocument | None = None


class Ranking(Struct):
    """The best document first."""

    id: str
    model: str
    results: list[Ranked]
    usage: Usage


class Score(Struct):
    index: int
    object: Literal["score"]
    score: float


class ScoreList(Struct):
    object: Literal["list"]
    model: str
    data: list[Score]
    usage: Usage


class Price(Struct):
    """Exact, as decimal text, for `per` units: tokens, or seconds of audio."""

    price: str
    per: int


class ModelDocument(Struct, kw_only=True):
    """`prices` has the currency, and a price by component. What is not known is null."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    family: str | None
    aliases: list[str]
    tasks: list[str]
    capabilities: list[str]
    context_tokens: int
    regions: list[str]
    prices: dict[str, str | Price]
    licence: str | None
    release_date: str | None
    status: Literal["preview", "active", "deprecated"]
    sunset_at: str | None
    replacement: str | None


class ModelList(Struct):
    object: Literal["list"]
    data: list[ModelDocument]


class ErrorDetails(Struct):
    """`param` names the field that is wrong; `code` is for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Struct):
    error: ErrorDetails


class AnthropicErrorDetails(Struct):
    type: str
    message: str


class AnthropicError(Struct):
    type: Literal["error"]
    error: AnthropicErrorDetails
    request_id: str
