"""The response as the client gets it, whole or growing within a stream."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from msgspec import Struct
from uuid_utils.compat import uuid7

from inference.engines import Usage
from inference.gateway.bodies import TextFormat
from inference.gateway.chat import Logprob as EngineLogprob
from inference.gateway.chat import TopLogprob as EngineTopLogprob
from inference.gateway.responses.bodies import (
    Metadata,
    ReasoningOptions,
    ResponsesBody,
    Text,
    Tool,
    ToolChoice,
)

type Status = Literal["in_progress", "completed", "incomplete", "failed"]

_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an engine's answer is incomplete, by its `finish_reason`."""


class TopLogprob(Struct):
    token: str
    bytes: list[int]
    logprob: float


class Logprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class OutputText(Struct, tag_field="type", tag="output_text"):
    text: str = ""
    annotations: list[None] = []
    logprobs: list[Logprob] = []


class ReasoningText(Struct, tag_field="type", tag="reasoning_text"):
    text: str = ""


type Part = OutputText | ReasoningText


class Message(Struct, tag_field="type", tag="message"):
    id: str
    status: Status = "in_progress"
    role: Literal["assistant"] = "assistant"
    content: list[Part] = []


class Reasoning(Struct, tag_field="type", tag="reasoning"):
    id: str
    status: Status = "in_progress"
    summary: list[None] = []
    content: list[Part] = []
    encrypted_content: None = None


class FunctionCall(Struct, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str = ""
    status: Status = "in_progress"


type Item = Message | Reasoning | FunctionCall


class InputDetails(Struct):
    cached_tokens: int
    cache_write_tokens: int = 0


class OutputDetails(Struct):
    reasoning_tokens: int


class ResponseUsage(Struct):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(Struct):
    reason: str


class Failure(Struct):
    code: str
    message: str


class Response(Struct, kw_only=True):
    """What was asked stands in it again, but for what has no effect here."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status = "in_progress"
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    model: str
    output: list[Item] = []
    usage: ResponseUsage | None = None
    instructions: str | None
    text: Text
    reasoning: ReasoningOptions
    tools: list[Tool]
    tool_choice: Literal["none", "auto", "required"] | ToolChoice
    parallel_tool_calls: bool
    max_output_tokens: int | None
    max_tool_calls: int | None
    temperature: float | None
    top_p: float | None
    top_logprobs: int
    metadata: Metadata
    user: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    store: Literal[False] = False
    background: Literal[False] = False
    previous_response_id: None = None
    service_tier: Literal["default"] = "default"
    truncation: Literal["disabled"] = "disabled"


class Ids(NamedTuple):
    """The ids of a response and, by their place in it, of its items."""

    root: str

    @classmethod
    def new(cls) -> Ids:
        return cls(uuid7().hex)

    @property
    def response(self) -> str:
        return f"resp_{self.root}"

    def item(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self.root}{index:02x}"


def response_of(body: ResponsesBody, ids: Ids, model: str, created_at: int) -> Response:
    """The response to `body` before anything of it is there. `model` is its public id."""
    return Response(
        id=ids.response,
        created_at=created_at,
        model=model,
        instructions=body.instructions,
        text=_text(body.text),
        reasoning=body.reasoning or ReasoningOptions(),
        tools=body.tools or [],
        tool_choice=body.tool_choice or "auto",
        parallel_tool_calls=body.parallel_tool_calls is not False,
        max_output_tokens=body.max_output_tokens,
        max_tool_calls=body.max_tool_calls,
        temperature=body.temperature,
        top_p=body.top_p,
        top_logprobs=body.top_logprobs or 0,
        metadata=body.metadata or {},
        user=body.user,
        safety_identifier=body.safety_identifier,
        prompt_cache_key=body.prompt_cache_key,
    )


def _text(text: Text | None) -> Text:
    given = text or Text()
    return Text(given.format or TextFormat(), given.verbosity or "medium")


def finish(response: Response, reason: str | None, completed_at: int) -> None:
    """Give it the status that follows from an engine's `finish_reason`."""
    if why := _REASONS.get(reason or ""):
        response.status, response.incomplete_details = "incomplete", Incomplete(why)
    else:
        response.status, response.completed_at = "completed", completed_at


def usage_of(usage: Usage, reasoning_tokens: int) -> ResponseUsage:
    return ResponseUsage(
        usage.input_tokens,
        InputDetails(usage.cached_tokens),
        usage.output_tokens,
        OutputDetails(reasoning_tokens),
        usage.input_tokens + usage.output_tokens,
    )


def logprobs_of(text: str, tokens: list[EngineLogprob]) -> list[Logprob]:
    """Of all `tokens` of an answer those that make up `text`; all, where it cannot be found.

    Reasoning, marks of tool calls and the end of the answer are tokens as well.
    """
    pieces = [_bytes(token) for token in tokens]
    wanted = text.encode()
    start = b"".join(pieces).rfind(wanted)
    end, at, found = start + len(wanted), 0, list[Logprob]()
    for token, piece in zip(tokens, pieces, strict=True):
        if start < 0 or (piece and at < end and at + len(piece) > start):
            found.append(_logprob(token, piece))
        at += len(piece)
    return found


def _bytes(token: EngineTopLogprob) -> bytes:
    return token.token.encode() if token.bytes is None else bytes(token.bytes)


def _logprob(token: EngineLogprob, piece: bytes) -> Logprob:
    top = [
        TopLogprob(other.token, list(_bytes(other)), other.logprob)
        for other in token.top_logprobs or ()
    ]
    return Logprob(token.token, list(piece), token.logprob, top)
