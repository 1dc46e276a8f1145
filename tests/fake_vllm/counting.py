"""The tokens of a conversation in Anthropic's shape: those of the chat that it becomes."""

from __future__ import annotations

from typing import Any

from tests.fake_vllm import refusals
from tests.fake_vllm.ask import PROMPT_OVERHEAD_TOKENS, Json, commands_in


def count(body: Json) -> Json:
    """Raises Refused on the command `!status`."""
    texts = [_text(part) for part in (body.get("system"), *body["messages"])]
    if status := commands_in(texts[-1]).get("status"):
        raise refusals.refused(status, refusals.ENGINE_DEAD)
    tokens = sum(len(text.split()) for text in texts) + PROMPT_OVERHEAD_TOKENS
    return {"input_tokens": tokens, "context_management": {"original_input_tokens": tokens}}


def _text(part: Any) -> str:
    """All text of a message, a block or a list of blocks, results of tools included."""
    if isinstance(part, list):
        return " ".join(map(_text, part))
    if isinstance(part, dict):
        return _text(part.get("text") or part.get("content"))
    return part or ""
