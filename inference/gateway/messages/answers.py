"""From an engine's whole answer to a message."""

from __future__ import annotations

from inference.engines import Usage
from inference.gateway.chat import Answer, Said
from inference.gateway.messages.blocks import Text, Thinking, ToolUse
from inference.gateway.messages.document import (
    Message,
    arguments_of,
    new_id,
    stop_of,
    tool_use_of,
    usage_of,
)


def message_whole(answer: Answer, usage: Usage, model: str) -> Message:
    """The message that `answer`, which has a choice, is. `model` is its public id."""
    choice, id_ = answer.choices[0], new_id("msg")
    calls = choice.message.tool_calls
    last_call = arguments_of(calls[-1]) if calls else None
    reason, sequence = stop_of(choice.finish_reason, choice.stop_reason, last_call)
    return Message(
        id=id_,
        model=model,
        content=_content(choice.message, signature=id_),
        stop_reason=reason,
        stop_sequence=sequence,
        usage=usage_of(usage, answer.usage.reasoning_tokens if answer.usage else 0),
    )


def _content(said: Said, signature: str) -> list[Thinking | Text | ToolUse]:
    """What was thought, said and called; at least an empty text."""
    blocks = list[Thinking | Text | ToolUse]()
    if said.thought:
        blocks.append(Thinking(said.thought, signature))
    if said.content:
        blocks.append(Text(said.content))
    blocks += [tool_use_of(call, arguments_of(call)) for call in said.tool_calls or ()]
    return blocks or [Text("")]
