"""From a request for a response to the chat that is asked of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import UNSET

from inference.gateway import bodies as chat
from inference.gateway.responses.bodies import (
    FUNCTION,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    Item,
    OutputText,
    Part,
    ReasoningText,
    Refusal,
    ResponsesBody,
    SchemaFormat,
    Text,
    Tool,
    ToolChoice,
)

type Content = list[chat.TextPart | chat.RefusalPart | chat.ImagePart | chat.AudioPart]
type Mode = Literal["none", "auto", "required"]


def chat_of(body: ResponsesBody) -> chat.ChatBody:
    """The chat that answers `body`."""
    tools = _tools(body)
    return chat.ChatBody(
        model=body.model,
        messages=messages_of(body),
        stream=body.stream,
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        logprobs=body.wants_logprobs or None,
        top_logprobs=body.top_logprobs if body.wants_logprobs else None,
        response_format=_format(body.text),
        tools=tools or None,
        tool_choice=_choice(body.tool_choice) if tools else None,
        parallel_tool_calls=body.parallel_tool_calls if tools else None,
        reasoning_effort=body.reasoning.effort if body.reasoning else None,
        frequency_penalty=body.frequency_penalty,
        presence_penalty=body.presence_penalty,
        repetition_penalty=body.repetition_penalty,
        logit_bias=body.logit_bias,
        seed=body.seed,
        stop=body.stop,
        top_k=body.top_k,
        min_p=body.min_p,
        chat_template_kwargs=body.chat_template_kwargs,
    )


def messages_of(body: ResponsesBody) -> list[chat.Message]:
    """The conversation, instructions first."""
    messages = list[chat.Message]()
    if body.instructions:
        messages.append(chat.Message("system", body.instructions))
    if isinstance(body.input, str):
        messages.append(chat.Message("user", body.input))
    for item in body.input if isinstance(body.input, list) else ():
        _add(messages, item)
    return messages


def opening_texts(item: Item) -> Iterator[str]:
    """What `item` says or shows, in pieces."""
    if isinstance(item.content, str):
        yield item.content
        return
    for part in item.content or ():
        yield from (part.image_url or "",) if isinstance(part, InputImage) else _words((part,))


def _add(messages: list[chat.Message], item: Item) -> None:
    """What the assistant said, thought and called in one go becomes one message."""
    match item.kind:
        case "function_call_output":
            output = _content(item.output)
            messages.append(chat.Message("tool", output, tool_call_id=item.call_id))
        case "reasoning":
            messages.append(chat.Message("assistant", reasoning=_thought(item)))
        case "function_call":
            _add_call(messages, item)
        case "message" if item.role == "assistant":
            _add_said(messages, _text(item.content))
        case _:
            messages.append(chat.Message(item.role or "user", _content(item.content)))


def _add_said(messages: list[chat.Message], text: str) -> None:
    """Said after a thought, it belongs to it; after other words or calls it stands alone."""
    last = messages[-1] if messages else None
    if last and last.role == "assistant" and last.content is UNSET and not last.tool_calls:
        last.content = text
    else:
        messages.append(chat.Message("assistant", text))


def _add_call(messages: list[chat.Message], item: Item) -> None:
    if not messages or messages[-1].role != "assistant":
        messages.append(chat.Message("assistant"))
    last = messages[-1]
    function = chat.FunctionCall(item.name or "", item.arguments or "")
    last.tool_calls = [*(last.tool_calls or ()), chat.ToolCall(item.call_id or "", function)]


def _thought(item: Item) -> str:
    """The reasoning itself, or the summary of one that was given back without it."""
    return _text(item.content) or "\n".join(part.text for part in item.summary or ())


def _text(content: str | list[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(_words(content))


def _words(parts: Iterable[Part]) -> Iterable[str]:
    for part in parts:
        if isinstance(part, InputText | OutputText | ReasoningText):
            yield part.text
        elif isinstance(part, Refusal):
            yield part.refusal


def _content(content: str | list[Part] | None) -> str | Content:
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part) for part in content]


def _part(part: Part) -> chat.TextPart | chat.RefusalPart | chat.ImagePart | chat.AudioPart:
    match part:
        case InputImage():
            detail = "high" if part.detail == "original" else part.detail
            return chat.ImagePart(chat.ImageUrl(part.image_url or "", detail))
        case InputAudio():
            return chat.AudioPart(part.input_audio)
        case Refusal():
            return chat.RefusalPart(part.refusal)
        case InputText() | OutputText() | ReasoningText():
            return chat.TextPart(part.text)
        case InputFile():
            raise AssertionError("refused when it was read")


def _tools(body: ResponsesBody) -> list[chat.Tool]:
    """Those that may be called: all, or those that `tool_choice` allows."""
    tools = body.tools or []
    choice = body.tool_choice
    if isinstance(choice, ToolChoice) and choice.type != FUNCTION:
        tools = [tool for tool in tools if tool.name in choice.names]
    return [chat.Tool(_function(tool)) for tool in tools]


def _function(tool: Tool) -> chat.Function:
    return chat.Function(
        tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict
    )


def _choice(choice: Mode | ToolChoice | None) -> Mode | chat.ToolChoice | None:
    if not isinstance(choice, ToolChoice):
        return choice
    if choice.type == FUNCTION:
        return chat.ToolChoice(chat.FunctionName(choice.name or ""))
    return choice.mode


def _format(
    text: Text | None,
) -> chat.TextFormat | chat.JsonObjectFormat | chat.JsonSchemaFormat | None:
    format_ = text.format if text else None
    if not isinstance(format_, SchemaFormat):
        return format_
    schema = chat.JsonSchema(
        format_.name,
        schema_=format_.schema_,
        description=format_.description,
        strict=format_.strict,
    )
    return chat.JsonSchemaFormat(schema)
