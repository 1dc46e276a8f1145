"""The table of what the gateway can do. What stands here is served, metered and documented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference.gateway.audio.bodies import TranscriptionBody, TranslationBody
from inference.gateway.audio.endpoint import Transcriptions, Translations
from inference.gateway.bodies import ChatBody, CompletionBody
from inference.gateway.endpoint import Endpoint
from inference.gateway.generations import Chats, Completions
from inference.gateway.messages.bodies import CountBody, MessagesBody
from inference.gateway.messages.endpoint import Messages, TokenCounts
from inference.gateway.pooling import (
    Embeddings,
    EmbeddingsBody,
    RerankBody,
    Reranking,
    ScoreBody,
    Scores,
)
from inference.gateway.responses.bodies import ResponsesBody
from inference.gateway.responses.endpoint import Responses

ENDPOINTS: Final[Mapping[str, Endpoint[Any]]] = {
    endpoint.path: endpoint
    for endpoint in (
        Chats("chat/completions", ChatBody, "Answer a conversation."),
        Completions("completions", CompletionBody, "Continue a text."),
        Responses("responses", ResponsesBody, "Answer a conversation, item by item."),
        Messages("messages", MessagesBody, "Answer a conversation, in Anthropic's shape."),
        TokenCounts("messages/count_tokens", CountBody, "Count the tokens of a conversation."),
        Embeddings("embeddings", EmbeddingsBody, "Turn texts into vectors."),
        Reranking("rerank", RerankBody, "Sort documents by how well they answer a query."),
        Scores("score", ScoreBody, "Score how well pairs of texts fit."),
        Transcriptions("audio/transcriptions", TranscriptionBody, "Write down what is said."),
        Translations("audio/translations", TranslationBody, "Write down what is said in English."),
    )
}
"""By path under /v1."""

NOT_YET: Final = (
    "assistants", "audio/speech", "batches", "chatkit", "containers", "conversations", "evals",
    "files", "fine_tuning", "images", "messages/batches", "moderations", "organization", "realtime",
    "threads", "uploads", "vector_stores", "videos",
)  # fmt: skip
"""What OpenAI or Anthropic has under /v1 and the gateway does not."""
