"""The bytes of a stream, from an engine to a client: cut, never parsed, token by token.

An engine is asked for its count in every event, for a stream may end at any of them. Clients add
up every count they see, so those that were not asked for are cut out. That works on bytes because
a quote within a JSON string is escaped: `,"usage":{` can only be a member of an object.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from inference.engines import NO_USAGE, Engine, Usage, counts, counts_added, last_count

END: Final = b"data: [DONE]\n\n"
_USAGE_EVENT: Final = b'"choices":[]'
_ERROR: Final = b'data: {"error"'
_START: Final = b"data: {"
_STOP: Final = b"}\n\n"
_NEXT: Final = _STOP + _START
MAX_EVENT_BYTES: Final = 2**22
_MODEL: Final = re.compile(rb'"model":("(?:[^"\\]++|\\.)*+")')


class _Head(msgspec.Struct):
    """What each event of a stream repeats."""

    id: str = ""
    object: str = ""
    created: int = 0
    model: str = ""


_decode_head: Final = msgspec.json.Decoder(_Head).decode


class EventFilter:
    """Turns what an engine sends into what the client gets.

    `is_done` once the engine said `[DONE]`, `is_broken` once it sent an error instead, `error`, or
    what is no event.
    `choices` is what the engine gives in all, `n` of them for each prompt.
    """

    __slots__ = (
        "_by_choice",
        "_counted",
        "_engine",
        "_model",
        "_n",
        "_rest",
        "_swap",
        "_usage_sent",
        "_wants_usage",
        "error",
        "is_broken",
        "is_done",
    )

    def __init__(
        self, engine: Engine, model: str, *, wants_usage: bool, choices: int = 1, n: int = 1
    ) -> None:
        self._engine, self._wants_usage, self._n = engine, wants_usage, n
        self._by_choice: dict[int, bytes] | None = {} if choices > 1 else None
        self._model = msgspec.json.encode(model)
        self._swap: tuple[bytes, bytes] | None = None
        self._rest = self._counted = self.error = b""
        self._usage_sent = self.is_done = self.is_broken = False

    @property
    def usage(self) -> Usage:
        """The engine's count so far, of all choices."""
        last = last_count(self._engine, self._counted)
        if self._by_choice and _USAGE_EVENT not in last:
            return counts_added(self._engine, self._by_choice, self._n)
        return self._engine.usage_read(last) or NO_USAGE

    def feed(self, data: bytes) -> bytes:
        """The whole events in `data` and what was left before it, as the client may see them."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._rest, self.is_broken = data, len(data) > MAX_EVENT_BYTES
            return b""
        block, self._rest = (data, b"") if end == len(data) else (data[:end], data[end:])
        return self._filter(block)

    def _filter(self, block: bytes) -> bytes:
        if not _is_intact(block):
            block = self._intact_part(block)
        if self._engine.running_count in block:
            self._counted = block
            if self._by_choice is not None:
                self._by_choice |= counts(self._engine, block)
        if _ERROR in block:
            block, mark, rest = block.partition(_ERROR)
            self.error = mark.removeprefix(b"data: ") + rest.partition(b"\n\n")[0]
            self.is_broken = True
        elif block.endswith(END):
            self.is_done = True
        return self._rename(self._cut(block))

    def _intact_part(self, block: bytes) -> bytes:
        """The events before one that is no JSON object, less the comments."""
        intact = b""
        for event in block.split(b"\n\n")[:-1]:
            if not (_is_intact(event + b"\n\n") or event.startswith(b":")):
                self.is_broken = True
                break
            intact += event + b"\n\n" if event.startswith(b"data") else b""
        return intact

    def _cut(self, block: bytes) -> bytes:
        """Event by event only from the one that holds the final count on; the rest in one go."""
        special = block.find(_USAGE_EVENT)
        if special < 0 and self.is_done and self._wants_usage:
            special = len(block) - len(END)
        if special < 0:
            return self._engine.cut(block)
        before = block.rfind(b"\n\n", 0, special)
        start = before + 2 if before >= 0 else 0
        events = block[start:].split(b"\n\n")
        tail = b"".join(self._cut_event(event) for event in events if event)
        return self._engine.cut(block[:start]) + tail

    def _cut_event(self, event: bytes) -> bytes:
        if _USAGE_EVENT in event and self._engine.usage_read(event[event.find(b"{") :]):
            if not self._wants_usage:
                return b""
            self._usage_sent = True
            return event + b"\n\n"
        if event + b"\n\n" == END and self._wants_usage and not self._usage_sent:
            return self._own_usage_event() + END
        return self._engine.cut(event) + b"\n\n"

    def _own_usage_event(self) -> bytes:
        """For an engine that puts its count into the last event with a choice."""
        usage, head = self.usage, _decode_head(last_count(self._engine, self._counted))
        count = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        }
        document = {**msgspec.structs.asdict(head), "choices": [], "usage": count}
        return b"data: " + msgspec.json.encode(document) + b"\n\n"

    def _rename(self, block: bytes) -> bytes:
        """Put the model's public id where the engine's own name for it stands."""
        if self._swap is None:
            found = _MODEL.search(block)
            if found is None:
                return block
            self._swap = (found[0], b'"model":' + self._model)
        engine_says, public = self._swap
        return block if engine_says == public else block.replace(engine_says, public)


def _is_intact(block: bytes) -> bool:
    """Whether each event seems to be a JSON object: half of one does not end as one.

    Where no event has a line end within, as engines write them, it is enough to count those.
    """
    block = block.removesuffix(END)
    if not block:
        return True
    if not (block.startswith(_START) and block.endswith(_STOP)):
        return False
    events = block.count(_NEXT) + 1
    return block.count(b"\n") == 2 * events or block.count(b"\n\n") == events


def rename_model(body: bytes, model: str) -> bytes:
    """`body`, a whole answer, with the public id of its model."""
    found = _MODEL.search(body)
    return (
        body
        if found is None
        else b"".join((body[: found.start(1)], msgspec.json.encode(model), body[found.end(1) :]))
    )
