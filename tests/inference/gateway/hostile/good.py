"""A good request for each endpoint; what is hostile is made from these."""

from __future__ import annotations

from typing import Any, Final

from tests.inference.gateway.conftest import MODEL, READER

_HELLO: Final = [{"role": "user", "content": "Hello"}]

BODIES: Final[dict[str, dict[str, Any]]] = {
    "chat/completions": {"model": MODEL, "messages": _HELLO, "max_tokens": 2},
    "completions": {"model": MODEL, "prompt": "Hello", "max_tokens": 2},
    "responses": {"model": MODEL, "input": "Hello", "max_output_tokens": 2},
    "messages": {"model": MODEL, "messages": _HELLO, "max_tokens": 2},
    "messages/count_tokens": {"model": MODEL, "messages": _HELLO},
    "embeddings": {"model": READER, "input": "Hello"},
    "rerank": {"model": READER, "query": "Hello", "documents": ["Hello", "Goodbye"]},
    "score": {"model": READER, "text_1": "Hello", "text_2": "Goodbye"},
}
"""By path under /v1, those that take JSON."""
