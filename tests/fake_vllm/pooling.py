"""What the fake engine answers where nothing is generated: vectors, ranks and scores.

A text has its words + 2 as tokens, and a vector of SIZE numbers that follow from it. A pair of
texts scores the share of the words of the first that stand in the second.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.fake_vllm.ask import MODEL, Json
from tests.fake_vllm.refusals import refused

SIZE: Final = 8
OVERHEAD_TOKENS: Final = 2
NOT_MATRYOSHKA: Final = (
    f"Model {MODEL!r} does not support Matryoshka representation, changing output dimensions will "
    "lead to poor results."
)


def embeddings(body: Json, request_id: str) -> Json:
    if body.get("dimensions") not in {None, SIZE}:
        raise refused(400, NOT_MATRYOSHKA, "dimensions")
    inputs = _inputs(body["input"])
    encode = _base64 if body.get("encoding_format") == "base64" else _vector
    data = [
        {"index": index, "object": "embedding", "embedding": encode(text)}
        for index, text in enumerate(inputs)
    ]
    return {**_head(f"embd-{request_id}"), "data": data, "usage": _usage(inputs)}


def rerank(body: Json, request_id: str) -> Json:
    pairs = [(body["query"], document) for document in body["documents"]]
    ranked = sorted(range(len(pairs)), key=lambda index: -_score(*pairs[index]))
    results = [
        {
            "index": index,
            "document": {"text": body["documents"][index], "multi_modal": None},
            "relevance_score": _score(*pairs[index]),
        }
        for index in ranked[: body.get("top_n") or len(pairs)]
    ]
    usage = _usage([f"{query} {document}" for query, document in pairs])
    counts = {name: usage[name] for name in ("prompt_tokens", "total_tokens")}
    return {"id": f"rerank-{request_id}", "model": MODEL, "usage": counts, "results": results}


def score(body: Json, request_id: str) -> Json:
    firsts, seconds = _texts(body["text_1"]), _texts(body["text_2"])
    pairs = list(zip(firsts * (len(seconds) if len(firsts) == 1 else 1), seconds, strict=True))
    data = [
        {"index": index, "object": "score", "score": _score(*pair)}
        for index, pair in enumerate(pairs)
    ]
    usage = _usage([f"{first} {second}" for first, second in pairs])
    return {**_head(f"score-{request_id}"), "data": data, "usage": usage}


POOLING: Final[Mapping[str, tuple[str, Callable[[Json, str], Json]]]] = {
    "/v1/embeddings": ("input", embeddings),
    "/v1/rerank": ("documents", rerank),
    "/v1/score": ("text_2", score),
}
"""By path: the field that a request must have, and its answer."""


def text_of(body: Json, needed: str) -> str:
    """All text of a request, in which commands may stand."""
    return " ".join(_inputs(body[needed]))


def _head(id_: str) -> Json:
    return {"id": id_, "object": "list", "created": int(time.time()), "model": MODEL}


def _usage(texts: list[str]) -> Json:
    tokens = sum(len(text.split()) + OVERHEAD_TOKENS for text in texts)
    return {
        "prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0,
        "prompt_tokens_details": None,
    }  # fmt: skip


def _texts(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _inputs(value: Any) -> list[str]:
    """The texts of an input; token ids as texts of as many words."""
    if isinstance(value, str):
        return [value]
    if isinstance(value[0], int):
        return [" ".join(map(str, value))]
    return [part if isinstance(part, str) else " ".join(map(str, part)) for part in value]


def _vector(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [number / 128 - 1 for number in digest[:SIZE]]


def _base64(text: str) -> str:
    return base64.b64encode(struct.pack(f"<{SIZE}f", *_vector(text))).decode()


def _score(first: str, second: str) -> float:
    words = first.lower().split()
    return sum(word in second.lower().split() for word in words) / len(words)
