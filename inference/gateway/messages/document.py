"""A message as the client gets it, and the parts of it that follow from what an engine said."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from uuid_utils.compat import uuid7

from inference.engines import Usage
from inference.gateway.chat import Call
from inference.gateway.messages.blocks import Text, Thinking, ToolUse

type StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]

INVALID_JSON: Final = "INVALID_JSON"
"""Holds the arguments of a call that are no JSON object, as Anthropic advises to send them back."""


class OutputDetails(Struct):
    thinking_tokens: int


class MessageUsage(Struct):
    """`input_tokens` are those that did not come from the cache."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputDetails | UnsetType = UNSET


class Message(Struct, tag_field="type", tag="message", kw_only=True):
    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[Thinking | Text | ToolUse]
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: MessageUsage


class TokenCount(Struct):
    input_tokens: int


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid7().hex}"


def usage_of(usage: Usage, thinking_tokens: int = 0) -> MessageUsage:
    details = OutputDetails(thinking_tokens) if thinking_tokens else UNSET
    new = usage.input_tokens - usage.cached_tokens
    return MessageUsage(new, 0, usage.cached_tokens, usage.output_tokens, details)


def stop_of(
    reason: str | None, stopped_by: int | str | None, last_call: str | None
) -> tuple[StopReason, str | None]:
    """Why it ended, and the stop sequence that did it.

    `reason` is an engine's `finish_reason`, `stopped_by` its `stop_reason`: a text when it met one
    of the stops. `last_call` are the arguments of the last call; one that was cut must not run.
    """
    if reason == "length":
        return "max_tokens", None
    if reason == "content_filter":
        return "refusal", None
    text = stopped_by if isinstance(stopped_by, str) else None
    if last_call is not None and (text is None or _input(last_call) is not None):
        return "tool_use", None
    return ("end_turn", None) if text is None else ("stop_sequence", text)


def tool_use_of(call: Call, arguments: str) -> ToolUse:
    """The block for `call` with these `arguments`."""
    name = call.function.name if call.function else None
    given = _input(arguments)
    return ToolUse(
        call.id or new_id("toolu"),
        name or "",
        {INVALID_JSON: arguments} if given is None else given,
    )


def arguments_of(call: Call) -> str:
    return (call.function.arguments if call.function else None) or ""


_decode_input: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _input(arguments: str) -> dict[str, Any] | None:
    """Arguments as the object that they are, empty when there are none; None for anything else."""
    try:
        return _decode_input(arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        return None
