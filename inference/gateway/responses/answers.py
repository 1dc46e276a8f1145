"""From an engine's whole answer to a response."""

from __future__ import annotations

import time

from inference.engines import Usage
from inference.gateway.chat import Answer, Call, Choice, Logprobs
from inference.gateway.responses.bodies import ResponsesBody
from inference.gateway.responses.document import (
    FunctionCall,
    Ids,
    Item,
    Message,
    OutputText,
    Reasoning,
    ReasoningText,
    Response,
    finish,
    logprobs_of,
    response_of,
    usage_of,
)


def response_whole(answer: Answer, usage: Usage, body: ResponsesBody, model: str) -> Response:
    """The response that `answer`, which has a choice, is to `body`."""
    ids, now, choice = Ids.new(), int(time.time()), answer.choices[0]
    response = response_of(body, ids, model, now)
    response.output = _items(choice, ids)
    finish(response, choice.finish_reason, now)
    response.output[-1].status = response.status
    reasoning_tokens = answer.usage.reasoning_tokens if answer.usage else 0
    response.usage = usage_of(usage, reasoning_tokens)
    return response


def _items(choice: Choice, ids: Ids) -> list[Item]:
    """What was thought, said and called, in this order; at least an empty message."""
    said, items = choice.message, list[Item]()
    if said.thought:
        items.append(Reasoning(ids.item("rs", 0), content=[ReasoningText(said.thought)]))
    if said.content or not (items or said.tool_calls):
        part = _part(said.content or "", choice.logprobs)
        items.append(Message(ids.item("msg", len(items)), content=[part]))
    for call in said.tool_calls or ():
        called = call_of(call, ids, len(items))
        called.arguments = (call.function.arguments if call.function else None) or ""
        items.append(called)
    for item in items:
        item.status = "completed"
    return items


def _part(text: str, logprobs: Logprobs | None) -> OutputText:
    tokens = logprobs.content if logprobs else None
    return OutputText(text, logprobs=logprobs_of(text, tokens or []))


def call_of(call: Call, ids: Ids, index: int) -> FunctionCall:
    """The item for `call`, which is the item at `index`, as yet without arguments."""
    name = call.function.name if call.function else None
    return FunctionCall(ids.item("fc", index), call.id or ids.item("call", index), name or "")
