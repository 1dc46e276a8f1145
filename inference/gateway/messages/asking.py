"""From a request for a message to what is asked of an engine: a chat, or the count of one.

Both say the same of the conversation, so that the count is that of the chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct

from inference.gateway import bodies as chat
from inference.gateway.messages.blocks import Block, Image, Text, Thinking, ToolResult, ToolUse
from inference.gateway.messages.bodies import (
    Conversation,
    DisabledThinking,
    Effort,
    Message,
    MessagesBody,
    OutputConfig,
    Tool,
    ToolChoice,
)
from inference.gateway.messages.turns import system_of, turns_of

type Content = str | list[chat.TextPart | chat.RefusalPart | chat.ImagePart | chat.AudioPart]
type Mode = Literal["none", "auto", "required"]

_MODES: Final[dict[str, Mode]] = {"auto": "auto", "any": "required", "none": "none"}


class Count(Struct, omit_defaults=True, kw_only=True):
    """What an engine is asked to count, in Anthropic's shape."""

    model: str
    messages: list[Message]
    system: str = ""
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None
    chat_template_kwargs: chat.TemplateOptions | None = None


def count_of(body: Conversation, model: str) -> Count:
    """What `body` holds, to be counted by an engine that knows the model as `model`."""
    effort = _effort(body)
    return Count(
        model=model,
        messages=list(turns_of(body)),
        system=system_of(body),
        tools=body.tools or None,
        tool_choice=body.tool_choice if body.tools else None,
        output_config=OutputConfig(effort) if effort else None,
        chat_template_kwargs=_options(body),
    )


def chat_of(body: MessagesBody) -> chat.ChatBody:
    """The chat that answers `body`."""
    tools = [_tool(tool) for tool in body.tools or ()]
    choice = body.tool_choice if tools else None
    return chat.ChatBody(
        model=body.model,
        messages=messages_of(body),
        stream=body.stream,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=body.stop_sequences or None,
        tools=tools or None,
        tool_choice=_choice(choice) if choice else None,
        parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
        response_format=_format(body.output_config),
        reasoning_effort=_effort(body),
        chat_template_kwargs=_options(body),
    )


def messages_of(body: Conversation) -> list[chat.Message]:
    """The conversation as the messages of a chat."""
    system = system_of(body)
    messages = [chat.Message("system", system)] if system else []
    for turn in turns_of(body):
        messages += _asked(turn.blocks) if turn.role == "user" else [_answered(turn.blocks)]
    return messages


def _asked(blocks: list[Block]) -> Iterator[chat.Message]:
    """A turn of the user: each result of a tool, and what is said besides."""
    results = [block for block in blocks if isinstance(block, ToolResult)]
    for result in results:
        yield chat.Message("tool", str(result.content), tool_call_id=result.tool_use_id)
    if len(results) < len(blocks):
        yield chat.Message("user", _content(blocks))


def _answered(blocks: list[Block]) -> chat.Message:
    """A turn of the assistant: what it thought, said and called."""
    thought = "".join(block.thinking for block in blocks if isinstance(block, Thinking))
    calls = [_call(block) for block in blocks if isinstance(block, ToolUse)]
    content = _content(blocks)
    return chat.Message(
        "assistant",
        content if content or not (thought or calls) else UNSET,
        reasoning=thought or None,
        tool_calls=calls or None,
    )


def _content(blocks: Iterable[Block]) -> Content:
    parts = [_part(block) for block in blocks if isinstance(block, Text | Image)]
    if len(parts) == 1 and isinstance(parts[0], chat.TextPart):
        return parts[0].text
    return [*parts] or ""


def _part(block: Text | Image) -> chat.TextPart | chat.ImagePart:
    if isinstance(block, Text):
        return chat.TextPart(block.text)
    return chat.ImagePart(chat.ImageUrl(block.url))


def _call(block: ToolUse) -> chat.ToolCall:
    arguments = msgspec.json.encode(block.input).decode()
    return chat.ToolCall(block.id, chat.FunctionCall(block.name, arguments))


def _tool(tool: Tool) -> chat.Tool:
    return chat.Tool(
        chat.Function(tool.name, tool.description, tool.input_schema, strict=tool.strict)
    )


def _choice(choice: ToolChoice) -> Mode | chat.ToolChoice:
    if choice.type == "tool":
        return chat.ToolChoice(chat.FunctionName(choice.name or ""))
    return _MODES[choice.type]


def _format(config: OutputConfig | None) -> chat.JsonSchemaFormat | None:
    if config is None or config.format is None:
        return None
    return chat.JsonSchemaFormat(chat.JsonSchema("answer", schema_=config.format.schema_))


def _effort(body: Conversation) -> Effort | None:
    return body.output_config.effort if body.output_config else None


def _options(body: Conversation) -> chat.TemplateOptions | None:
    """The switches by which templates let a model think or not."""
    if body.thinking is None:
        return body.chat_template_kwargs
    thinks = not isinstance(body.thinking, DisabledThinking)
    return chat.TemplateOptions(enable_thinking=thinks, thinking=thinks)
