"""The table of what the gateway can do. What stands here is served, metered and documented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference.gateway.bodies import ChatBody, CompletionBody
from inference.gateway.endpoint import Endpoint
from inference.gateway.generations import Chats, Completions

ENDPOINTS: Final[Mapping[str, Endpoint[Any]]] = {
    endpoint.path: endpoint
    for endpoint in (
        Chats("chat/completions", ChatBody, "Answer a conversation."),
        Completions("completions", CompletionBody, "Continue a text."),
    )
}
"""By path under /v1."""

NOT_YET: Final = (
    "assistants", "audio/speech", "batches", "chatkit", "containers", "conversations", "evals",
    "files", "fine_tuning", "images", "moderations", "organization", "realtime", "threads",
    "uploads", "vector_stores", "videos",
)  # fmt: skip
"""What OpenAI has under /v1 and the gateway does not."""
