"""From the events of an engine's chat to those of a message."""

from __future__ import annotations

from typing import Any

import msgspec

from inference.engines import NO_USAGE, Engine, Usage
from inference.gateway.chat import Call, ChoiceDelta, Chunk, chunks_read
from inference.gateway.messages.blocks import Text, Thinking, ToolUse
from inference.gateway.messages.document import (
    Message,
    arguments_of,
    new_id,
    stop_of,
    tool_use_of,
    usage_of,
)
from inference.gateway.relay import EventFilter


class OpenBlocks:
    """Writes blocks one after the other, as Anthropic does: one ends before the next begins.

    Text that comes between the pieces of a call waits for the end of the call.
    """

    def __init__(self, signature: str) -> None:
        self._signature = signature
        self._waiting = list[bytes]()
        self._open: Thinking | Text | ToolUse | None = None
        self._index = 0
        self._held = list[tuple[type[Thinking | Text], str]]()

    def write(self, kind: str, **fields: Any) -> None:
        data = msgspec.json.encode({"type": kind, **fields})
        self._waiting.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def take(self) -> bytes:
        """The events since it was last called."""
        taken, self._waiting = b"".join(self._waiting), []
        return taken

    @property
    def has_any(self) -> bool:
        return self._open is not None or self._index > 0

    def text(self, kind: type[Thinking | Text], piece: str) -> None:
        """More of a text of this kind, in the open block or a new one."""
        if isinstance(self._open, ToolUse):
            self._held.append((kind, piece))
            return
        if not isinstance(self._open, kind):
            self.start(kind(""))
        name = "text" if kind is Text else "thinking"
        if piece:
            self._delta(f"{name}_delta", name, piece)

    def arguments(self, piece: str) -> None:
        """More of the arguments of the open call."""
        if piece:
            self._delta("input_json_delta", "partial_json", piece)

    def start(self, block: Thinking | Text | ToolUse) -> None:
        self.shut()
        self._open = block
        self.write("content_block_start", index=self._index, content_block=block)

    def shut(self) -> None:
        """End the open block, and say what had to wait for that."""
        block, self._open = self._open, None
        if block is None:
            return
        if isinstance(block, Thinking):
            self._delta("signature_delta", "signature", self._signature)
        self.write("content_block_stop", index=self._index)
        self._index += 1
        held, self._held = self._held, []
        if any(not text.isspace() for _, text in held):
            for kind, text in held:
                self.text(kind, text)
            self.shut()

    def _delta(self, kind: str, name: str, piece: str) -> None:
        self.write("content_block_delta", index=self._index, delta={"type": kind, name: piece})


class MessageStream:
    """Turns the events of an engine's chat into those of a message. `model` is its public id."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._chat, self._model = EventFilter(engine, model, wants_usage=True), model
        self._id = new_id("msg")
        self._blocks = OpenBlocks(signature=self._id)
        self._head = b""
        self._call: int | None = None
        self._arguments = list[str]()
        self._ended: tuple[str | None, int | str | None] = None, None
        self._thinking_tokens = 0
        self._has_begun = self.is_done = self.is_broken = False
        self.error = b""

    @property
    def usage(self) -> Usage:
        """The engine's count so far."""
        return self._chat.usage

    def feed(self, data: bytes) -> bytes:
        """The whole events in `data` and what was left before it, as the client may see them."""
        if not self._has_begun:
            data = self._feed_head(data)
        if data:
            self._feed(data)
        return self._blocks.take()

    def _feed_head(self, data: bytes) -> bytes:
        """Event by event: the count that a message begins with is that of its first event.

        Returns what is left once it has begun.
        """
        self._head += data
        while not self._is_past_head and (end := self._head.find(b"\n\n") + 2) > 1:
            event, self._head = self._head[:end], self._head[end:]
            self._feed(event)
        if not self._has_begun:
            return b""
        data, self._head = self._head, b""
        return data

    @property
    def _is_past_head(self) -> bool:
        return self._has_begun or self.is_broken

    def _feed(self, data: bytes) -> None:
        for chunk in chunks_read(self._chat.feed(data)):
            if chunk is None:
                self.is_broken = True
                break
            self._take(chunk)
        self.is_broken, self.error = self.is_broken or self._chat.is_broken, self._chat.error
        if self._chat.is_done and not (self.is_broken or self.is_done):
            self.is_done = True
            self._finish()

    def _take(self, chunk: Chunk) -> None:
        if chunk.usage:
            self._thinking_tokens = chunk.usage.reasoning_tokens
        if not self._has_begun and self.usage != NO_USAGE:
            self._begin()
        for choice in chunk.choices[:1]:
            self._say(choice)
            if choice.finish_reason:
                self._ended = choice.finish_reason, choice.stop_reason

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            usage = usage_of(self.usage)
            message = Message(id=self._id, model=self._model, content=[], usage=usage)
            self._blocks.write("message_start", message=message)

    def _say(self, choice: ChoiceDelta) -> None:
        said = choice.delta
        if said.thought or said.content or said.tool_calls:
            self._begin()
        if said.thought:
            self._blocks.text(Thinking, said.thought)
        if said.content:
            self._blocks.text(Text, said.content)
        for call in said.tool_calls or ():
            self._add(call)

    def _add(self, call: Call) -> None:
        """A piece of the open call, or the first of the next."""
        if self._call is None or call.index > self._call:
            self._call, self._arguments = call.index, []
            self._blocks.start(tool_use_of(call, ""))
        elif call.index < self._call:
            self.is_broken = True  # that call has ended, and cannot be added to
            return
        piece = arguments_of(call)
        self._arguments.append(piece)
        self._blocks.arguments(piece)

    def _finish(self) -> None:
        self._begin()
        if not self._blocks.has_any:
            self._blocks.text(Text, "")
        self._blocks.shut()
        last_call = None if self._call is None else "".join(self._arguments)
        reason, sequence = stop_of(*self._ended, last_call)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        usage = usage_of(self.usage, self._thinking_tokens)
        self._blocks.write("message_delta", delta=delta, usage=usage)
        self._blocks.write("message_stop")
