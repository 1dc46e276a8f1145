"""From the events of an engine's chat to the typed events of a response."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from inference.engines import Engine, Usage
from inference.gateway.chat import Call, ChoiceDelta, Chunk, chunks_read
from inference.gateway.chat import Logprob as EngineLogprob
from inference.gateway.errors import GatewayError
from inference.gateway.relay import EventFilter
from inference.gateway.responses.answers import call_of
from inference.gateway.responses.bodies import ResponsesBody
from inference.gateway.responses.document import (
    Failure,
    FunctionCall,
    Ids,
    Item,
    Logprob,
    Message,
    OutputText,
    Part,
    Reasoning,
    ReasoningText,
    Status,
    finish,
    logprobs_of,
    response_of,
    usage_of,
)

_PREFIXES: Final = {Message: "msg", Reasoning: "rs"}


class Events:
    """Numbers events and keeps them until they are taken."""

    def __init__(self) -> None:
        self._waiting, self._number = list[bytes](), 0

    def write(self, kind: str, **fields: Any) -> None:
        document = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        data = msgspec.json.encode(document)
        self._waiting.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def take(self) -> bytes:
        taken, self._waiting = b"".join(self._waiting), []
        return taken


class OpenText:
    """An item that grows by text: a message or a reasoning, with the one part of its content."""

    def __init__(self, events: Events, index: int, item: Message | Reasoning) -> None:
        self.item, self._events = item, events
        self._pieces, self._logprobs = list[str](), list[Logprob]()
        self._kind = "output_text" if isinstance(item, Message) else "reasoning_text"
        self._whole = {"output_index": index}
        self._place = {"item_id": item.id, "output_index": index, "content_index": 0}
        events.write("response.output_item.added", **self._whole, item=item)
        events.write("response.content_part.added", **self._place, part=self._part())

    def add(self, text: str, logprobs: list[Logprob]) -> None:
        self._pieces.append(text)
        self._logprobs += logprobs
        self._write("delta", {"delta": text}, logprobs)

    def end(self, status: Status) -> None:
        part, item = self._part(), self.item
        item.content, item.status = [part], status
        self._write("done", {"text": part.text}, self._logprobs)
        self._events.write("response.content_part.done", **self._place, part=part)
        self._events.write("response.output_item.done", **self._whole, item=item)

    def _part(self) -> Part:
        text = "".join(self._pieces)
        if isinstance(self.item, Message):
            return OutputText(text, logprobs=self._logprobs)
        return ReasoningText(text)

    def _write(self, step: str, fields: dict[str, str], logprobs: list[Logprob]) -> None:
        more = {"logprobs": logprobs} if isinstance(self.item, Message) else {}
        self._events.write(f"response.{self._kind}.{step}", **self._place, **fields, **more)


class OpenCall:
    """A function call that grows by pieces of its arguments."""

    def __init__(self, events: Events, index: int, item: FunctionCall) -> None:
        self.item, self._events, self._pieces = item, events, list[str]()
        self._whole = {"output_index": index}
        self._place = {"item_id": item.id, "output_index": index}
        events.write("response.output_item.added", **self._whole, item=item)

    def add(self, arguments: str) -> None:
        self._pieces.append(arguments)
        kind = "response.function_call_arguments.delta"
        self._events.write(kind, **self._place, delta=arguments)

    def end(self, status: Status) -> None:
        item = self.item
        item.arguments, item.status = "".join(self._pieces), status
        kind = "response.function_call_arguments.done"
        fields = {"name": item.name, "arguments": item.arguments}
        self._events.write(kind, **self._place, **fields)
        self._events.write("response.output_item.done", **self._whole, item=item)


class ResponseStream:
    """Turns the events of an engine's chat into those of the response to `body`.

    Function calls stay open until the end, for an engine may add to several in turn.
    """

    def __init__(self, body: ResponsesBody, engine: Engine, model: str) -> None:
        self._chat = EventFilter(engine, model, wants_usage=True)
        self._ids, self._events = Ids.new(), Events()
        self._response = response_of(body, self._ids, model, int(time.time()))
        self._said: OpenText | None = None
        self._calls = dict[int, OpenCall]()
        self._tokens = list[EngineLogprob]()
        self._reason: str | None = None
        self._reasoning_tokens = 0
        self._has_begun = self.is_done = self.is_broken = False
        self.error = b""

    @property
    def usage(self) -> Usage:
        """The engine's count so far."""
        return self._chat.usage

    def feed(self, data: bytes) -> bytes:
        """The whole events in `data` and what was left before it, as the client may see them."""
        for chunk in chunks_read(self._chat.feed(data)):
            if chunk is None:
                self.is_broken = True
                break
            self._take(chunk)
        self.is_broken, self.error = self.is_broken or self._chat.is_broken, self._chat.error
        if self._chat.is_done and not (self.is_broken or self.is_done):
            self.is_done = True
            self._finish()
        return self._events.take()

    def failed(self, error: GatewayError) -> bytes:
        """The last events of a stream that has begun and breaks off by `error`."""
        self._response.status = "failed"
        self._response.error = Failure("server_error", error.message)
        self._response.output = []
        self._events.write("response.failed", response=self._response)
        about = {"code": error.code, "message": error.message, "param": error.param}
        self._events.write("error", **about, error={**about, "type": error.type})
        return self._events.take()

    def _take(self, chunk: Chunk) -> None:
        self._begin()
        if chunk.usage:
            self._reasoning_tokens = chunk.usage.reasoning_tokens
        for choice in chunk.choices[:1]:
            self._say(choice)
            for call in choice.delta.tool_calls or ():
                self._call(call)
            self._reason = choice.finish_reason or self._reason

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            for step in ("created", "in_progress"):
                self._events.write(f"response.{step}", response=self._response)

    def _say(self, choice: ChoiceDelta) -> None:
        thought, content = choice.delta.thought, choice.delta.content or ""
        if choice.logprobs:
            self._tokens += choice.logprobs.content or ()
        if thought:
            self._text(Reasoning).add(thought, [])
        if content and not self._is_between_calls(content):
            self._text(Message).add(content, logprobs_of(content, self._tokens))
        if thought or content:
            self._tokens = []

    def _is_between_calls(self, content: str) -> bool:
        """Models write blanks between their calls; those are no message."""
        return bool(self._calls) and self._said is None and content.isspace()

    def _text(self, kind: type[Message | Reasoning]) -> OpenText:
        """The open item of this kind, a new one if there is none."""
        if self._said is None or not isinstance(self._said.item, kind):
            self._shut("completed")
            index = len(self._response.output)
            item = kind(self._ids.item(_PREFIXES[kind], index))
            self._said = OpenText(self._events, index, item)
            self._response.output.append(item)
        return self._said

    def _shut(self, status: Status) -> None:
        if self._said:
            self._said.end(status)
            self._said = None

    def _call(self, call: Call) -> None:
        if call.index not in self._calls:
            self._shut("completed")
            index = len(self._response.output)
            item = call_of(call, self._ids, index)
            self._calls[call.index] = OpenCall(self._events, index, item)
            self._response.output.append(item)
        if call.function and call.function.arguments:
            self._calls[call.index].add(call.function.arguments)

    def _finish(self) -> None:
        response = self._response
        self._begin()
        if not response.output:
            self._text(Message)
        finish(response, self._reason, int(time.time()))
        last: Item = response.output[-1]
        for call in self._calls.values():
            call.end(response.status if call.item is last else "completed")
        self._shut(response.status)
        response.usage = usage_of(self.usage, self._reasoning_tokens)
        self._events.write(f"response.{response.status}", response=response)
