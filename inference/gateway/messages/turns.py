"""A conversation in its plain form, which every engine can be told.

The system speaks once, turns of one role are one, as Anthropic takes them, and documents are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from inference.gateway.messages.blocks import (
    Block,
    Document,
    Image,
    RedactedThinking,
    SearchResult,
    Text,
    ToolResult,
)
from inference.gateway.messages.bodies import Conversation, Message

_BILLING: Final = "x-anthropic-billing-header"
"""Begins a text of some clients that differs in each request, which would defeat every cache."""


def system_of(body: Conversation) -> str:
    """All that the system says: many templates take it in the first place alone."""
    first = [Text(body.system)] if isinstance(body.system, str) else body.system or ()
    later = (m.blocks for m in body.messages if m.role == "system")
    blocks = (*first, *(block for blocks in later for block in blocks))
    texts = [block.text for block in blocks if isinstance(block, Text)]
    return "\n\n".join(text for text in texts if text and not text.startswith(_BILLING))


def turns_of(body: Conversation) -> Iterator[Message]:
    """What user and assistant say, in turns."""
    spoken = (message for message in body.messages if message.role != "system")
    for role, messages in groupby(spoken, key=lambda message: message.role):
        blocks = [block for message in messages for block in message.blocks]
        yield Message(role, _plain(blocks) or "")


def _plain(blocks: Iterable[Block]) -> list[Block]:
    """Results of tools come first, as texts; the images that they hold are shown after them."""
    results, others = list[Block](), list[Block]()
    for block in blocks:
        match block:
            case ToolResult():
                result, images = _split(block)
                results.append(result)
                others += images
            case Document() | SearchResult():
                others += block.blocks
            case RedactedThinking() | Text(text=""):
                pass
            case _:
                others.append(block)
    return results + others


def _split(result: ToolResult) -> tuple[ToolResult, list[Image]]:
    """The text of a result, and its images: a chat has room for text alone in it."""
    parts = list(_parts(result.content))
    text = "\n".join(part.text for part in parts if isinstance(part, Text))
    said = f"Error: {text}" if result.is_error else text
    return ToolResult(result.tool_use_id, said), [p for p in parts if isinstance(p, Image)]


def _parts(
    content: str | list[Text | Image | Document | SearchResult] | None,
) -> Iterator[Text | Image]:
    if content is None or isinstance(content, str):
        yield Text(content or "")
        return
    for part in content:
        if isinstance(part, Document | SearchResult):
            yield from part.blocks
        else:
            yield part
