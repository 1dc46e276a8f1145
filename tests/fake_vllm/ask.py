"""What a request asks of the fake engine, and its commands."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from tests.fake_vllm.calls import ToolCall, calls_in, words_in

type Json = dict[str, Any]

MODEL: Final = os.environ.get("FAKE_VLLM_MODEL", "tiny-llama")
DEFAULT_TOKENS: Final = 16
PROMPT_OVERHEAD_TOKENS: Final = 8
WORDS: Final = ("index", " found", " but", " compile", " stream", " io", " day", " über")
_STOP_STRING: Final = re.compile(r"!stop-string (\S+)")


@dataclass(frozen=True)
class Ask:
    """One generation, read from its request. Times in milliseconds.

    `prompts` are the tokens of each prompt: one for a chat, any number for a completion.
    `wanted_tokens` are those of the text alone; None for as many as may be.
    """

    id: str
    is_chat: bool
    model: str
    n: int
    prompts: tuple[int, ...]
    asked_tokens: int
    wanted_tokens: int | None
    reasoning_tokens: int
    tool_calls: tuple[ToolCall, ...]
    words: tuple[str, ...]
    stop_string: str | None
    cached_tokens: int
    slow_first_ms: int
    delay_ms: int
    is_empty_first: bool
    stall_after: int | None
    die_after: int | None
    is_garbage: bool
    has_late_fault: bool
    status: int | None
    include_usage: bool
    continuous_usage: bool
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def choices(self) -> int:
        return self.n * len(self.prompts)

    @property
    def prompt_tokens(self) -> int:
        return sum(self.prompts)

    @cached_property
    def call_pieces(self) -> list[Json]:
        return [piece for index, call in enumerate(self.tool_calls) for piece in call.pieces(index)]

    @property
    def text_tokens(self) -> int:
        """How much of the answer is text: all that is neither reasoning nor calls."""
        room = max(self.asked_tokens - self.reasoning_tokens, 0)
        return room if self.wanted_tokens is None else min(self.wanted_tokens, room)

    @property
    def output_tokens(self) -> int:
        all_tokens = self.reasoning_tokens + self.text_tokens + len(self.call_pieces)
        return min(all_tokens, self.asked_tokens)

    def delta(self, position: int) -> Json:
        """What the token at `position`, from 0, adds to a message: first reasoning, calls last."""
        if position < self.reasoning_tokens:
            return {"reasoning": WORDS[position % len(WORDS)]}
        position -= self.reasoning_tokens
        if position < self.text_tokens:
            return {"content": self.text(position)}
        return self.call_pieces[position - self.text_tokens]

    def text(self, position: int) -> str:
        """The text of the token at `position` of the text, from 0."""
        return (
            "" if position == 0 and self.is_empty_first else self.words[position % len(self.words)]
        )

    @property
    def finish_reason(self) -> str:
        if self.output_tokens >= self.asked_tokens:
            return "length"
        return "tool_calls" if self.tool_calls else "stop"

    @property
    def stop_reason(self) -> str | None:
        """The text that ended it."""
        return self.stop_string if self.finish_reason == "stop" else None


def ask_read(body: Json, *, is_chat: bool, request_id: str) -> Ask:
    texts = _texts(body, is_chat=is_chat)
    commands, calls = commands_in(texts[-1]), calls_in(texts[-1], request_id)
    stop_string, words = _STOP_STRING.search(texts[-1]), words_in(texts[-1])
    asked = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_TOKENS
    options = body.get("stream_options") or {}
    include_usage = bool(options.get("include_usage"))
    return Ask(
        id=("chatcmpl-" if is_chat else "cmpl-") + request_id,
        is_chat=is_chat,
        model=body.get("model") or MODEL,
        n=body.get("n") or 1,
        prompts=_prompts(texts, is_chat=is_chat),
        asked_tokens=asked,
        wanted_tokens=commands.get("tokens") or len(words) or (0 if calls else None),
        reasoning_tokens=commands.get("reason") or 0,
        tool_calls=calls,
        words=words or WORDS,
        stop_string=stop_string[1] if stop_string else None,
        cached_tokens=commands.get("cached") or 0,
        slow_first_ms=commands.get("slow-first") or 0,
        delay_ms=commands.get("delay") or 0,
        is_empty_first="empty" in commands,
        stall_after=_count(commands, "stall"),
        die_after=_count(commands, "die"),
        is_garbage="garbage" in commands,
        has_late_fault="late-fault" in commands,
        status=commands.get("status"),
        include_usage=include_usage,
        continuous_usage=include_usage and bool(options.get("continuous_usage_stats")),
    )


def _prompts(texts: list[str], *, is_chat: bool) -> tuple[int, ...]:
    words = [len(text.split()) for text in texts]
    return tuple(count + PROMPT_OVERHEAD_TOKENS for count in ([sum(words)] if is_chat else words))


def _texts(body: Json, *, is_chat: bool) -> list[str]:
    """The texts that count as prompt; the last one carries the commands."""
    if not is_chat:
        prompt = body["prompt"]
        if isinstance(prompt, str) or all(isinstance(part, int) for part in prompt):
            return [str(prompt)]
        return [str(part) for part in prompt]
    texts = [(message.get("role"), _content(message)) for message in body["messages"]]
    last = max((i for i, (role, _) in enumerate(texts) if role == "user"), default=None)
    if last is not None:
        texts.append(texts.pop(last))
    return [text for _, text in texts] or [""]


def _content(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def commands_in(text: str) -> dict[str, int | None]:
    found = re.findall(r"!([a-z-]+)(?: (\d+))?", text)
    return {name: int(number) if number else None for name, number in found}


def _count(commands: Mapping[str, int | None], name: str, default: int = 3) -> int | None:
    if name not in commands:
        return None
    number = commands[name]
    return default if number is None else number
