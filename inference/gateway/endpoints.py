"""The table of what the gateway can do: path under /v1 -> task and body.

What stands here is metered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from inference.gateway.bodies import ChatBody, CompletionBody, Generation, body_decoder
from inference.models import Task


@dataclass(frozen=True, slots=True)
class Generates:
    """A path that makes an engine work. `read` raises InvalidRequest."""

    path: str
    task: Task
    read: Callable[[bytes], Generation]


GENERATIONS: Final[Mapping[str, Generates]] = {
    row.path: row
    for row in (
        Generates("chat/completions", Task.CHAT, body_decoder(ChatBody)),
        Generates("completions", Task.COMPLETION, body_decoder(CompletionBody)),
    )
}
