"""A conversation with one model, and the answer that is coming."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Struct

from console.playground.calls import ApiError, Question
from console.playground.facts import Counts, Facts
from inference.gateway.chat import Call, ChoiceDelta


class ToolCall(Struct):
    """A call that a model wants made; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str


class Turn(Struct):
    """What a person said, and what a model answered. `images` are `data:` URLs."""

    text: str
    images: list[str] = []
    answer: str = ""
    reasoning: str = ""
    calls: list[ToolCall] = []
    model: str = ""
    facts: Facts = Facts()


_decode_turns: Final = msgspec.json.Decoder(list[Turn]).decode


def turns_read(text: str) -> list[Turn]:
    """A conversation from its form. Raises ValueError."""
    return _decode_turns(text) if text else []


def turns_shown(text: str | None) -> list[Turn]:
    """A conversation to show again; nothing when it cannot be read."""
    try:
        return turns_read(text or "")
    except ValueError:
        return []


def turns_write(turns: Sequence[Turn]) -> str:
    return msgspec.json.encode(turns).decode()


def messages_of(turns: Iterable[Turn], system: str) -> list[dict[str, Any]]:
    """The messages of the request that asks for the answer of the last turn."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    waiting: list[ToolCall] = []
    for turn in turns:
        messages += [*_said(turn, waiting), _answered(turn)]
        waiting = turn.calls
    return messages[:-1]


def _said(turn: Turn, waiting: Iterable[ToolCall]) -> list[dict[str, Any]]:
    """What a person said; after tool calls, what the tools gave."""
    results = [{"role": "tool", "tool_call_id": call.id, "content": turn.text} for call in waiting]
    return results or [{"role": "user", "content": _content(turn)}]


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    if not turn.images:
        return turn.text
    images = [{"type": "image_url", "image_url": {"url": url}} for url in turn.images]
    return [{"type": "text", "text": turn.text}, *images]


def _answered(turn: Turn) -> dict[str, Any]:
    calls = {"tool_calls": _calls(turn.calls)} if turn.calls else {}
    return {"role": "assistant", "content": turn.answer, **calls}


def _calls(calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]


def chat_question(
    model: str, turns: Iterable[Turn], system: str, options: dict[str, Any]
) -> Question:
    """`options` are further fields of the request."""
    body = {
        "model": model,
        "messages": messages_of(turns, system),
        **options,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return Question("chat/completions", body)


class _Event(Struct):
    choices: list[ChoiceDelta] = []
    usage: Counts | None = None
    error: ApiError | None = None


_decode_event: Final = msgspec.json.Decoder(_Event).decode


@dataclass
class Answer:
    """What has come of an answer so far. `error` is the API's message when it broke off."""

    text: str = ""
    reasoning: str = ""
    counts: Counts = field(default_factory=Counts)
    error: str = ""
    _calls: dict[int, ToolCall] = field(default_factory=dict)

    @property
    def calls(self) -> list[ToolCall]:
        return [self._calls[index] for index in sorted(self._calls)]

    def hear(self, data: bytes) -> bool:
        """Take in an event; whether it added something to read. Raises msgspec.MsgspecError."""
        event = _decode_event(data)
        if event.usage:
            self.counts = event.usage
        if event.error:
            self.error = event.error.message
        for choice in event.choices:
            self._say(choice)
        return any(_says(choice) for choice in event.choices)

    def _say(self, choice: ChoiceDelta) -> None:
        said = choice.delta
        self.text += said.content or said.refusal or ""
        self.reasoning += said.thought
        for call in said.tool_calls or ():
            self._call(call)

    def _call(self, call: Call) -> None:
        """The pieces of one call share its index; only the first has its id."""
        known = self._calls.setdefault(call.index, ToolCall("", "", ""))
        known.id = known.id or call.id or ""
        if call.function:
            known.name += call.function.name or ""
            known.arguments += call.function.arguments or ""


def _says(choice: ChoiceDelta) -> bool:
    said = choice.delta
    return bool(said.content or said.refusal or said.thought or said.tool_calls)
