"""Embeddings, reranking and scores: an engine reads, and generates nothing."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, override

import msgspec
from msgspec import Meta, Struct

from inference.engines import Engine, Usage
from inference.gateway.bodies import Body, TokenId
from inference.gateway.bounds import PAIR_TOKENS, TEMPLATE_TOKENS, Bound, Sent
from inference.gateway.endpoint import Answer, Asked, Endpoint, Question, encode_with
from inference.gateway.relay import rename_model
from inference.gateway.shapes import EmbeddingList, Ranking, ScoreList
from inference.models import Task

Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1, max_length=2048)]
TokenIds = Annotated[list[TokenId], Meta(min_length=1)]
Documents = Annotated[list[Text], Meta(min_length=1, max_length=1000)]


class EmbeddingsBody(Body, kw_only=True):
    """POST /v1/embeddings"""

    input: Text | Annotated[list[Text | TokenId | TokenIds], Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, Meta(ge=1, le=2**16)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    def __post_init__(self) -> None:
        kinds = {type(part) for part in self.input} if isinstance(self.input, list) else ()
        if len(kinds) > 1:
            raise ValueError("Send texts, or token ids, or lists of token ids, and do not mix them")


class RerankBody(Body, kw_only=True):
    """POST /v1/rerank"""

    query: Text
    documents: Documents
    top_n: Annotated[int, Meta(ge=1, le=1000)] | None = None
    max_tokens_per_doc: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    return_documents: bool | None = None


class ScoreBody(Body, kw_only=True):
    """POST /v1/score"""

    text_1: Text | Documents
    text_2: Text | Documents

    def __post_init__(self) -> None:
        if isinstance(self.text_1, list) and (
            not isinstance(self.text_2, list) or len(self.text_1) not in {1, len(self.text_2)}
        ):
            raise ValueError("`text_1` is one text, or as many as `text_2` has")


class Pooling[B: Body](Endpoint[B]):
    """Billed by the tokens that were read; a cache of them changes nothing."""

    ours: ClassVar[frozenset[str]] = frozenset()
    """Fields that the gateway acts on and no engine gets."""

    @override
    def bound(self, body: B, sent: Sent) -> Bound:
        return Bound(TEMPLATE_TOKENS + sent.text_bytes + self._repeated(body))

    def _repeated(self, body: B) -> int:
        """What an engine reads more than once, in tokens, and what it adds to each text."""
        return 0

    @override
    def question(self, body: B, asked: Asked) -> Question:
        kept: Any = dict.fromkeys(self.ours)
        plain = msgspec.structs.replace(body, model=asked.model, stream=None, **kept)
        extras = asked.engine.request_fields(asked.salt, asked.priority, False)
        return Question(f"/v1/{self.path}", encode_with(plain, extras))

    @override
    def answer(self, data: bytes, body: B, engine: Engine, model: str) -> Answer | None:
        usage = engine.usage_read(data)
        if usage is None:
            return None
        try:
            shown = self._shown(data, body, model)
        except (msgspec.MsgspecError, IndexError):
            return None
        return Answer(shown, Usage(usage.input_tokens, 0, 0))

    def _shown(self, data: bytes, body: B, model: str) -> bytes:
        """Raises MsgspecError or IndexError when the engine did not answer the question."""
        return rename_model(data, model)


class Embeddings(Pooling[EmbeddingsBody]):
    task = Task.EMBEDDING
    shape = EmbeddingList
    example: ClassVar = {"input": ["Water flows.", "The gate is open."]}
    renamed: ClassVar = {"messages": "input", "prompt": "input"}


class Scores(Pooling[ScoreBody]):
    task = Task.RERANK
    shape = ScoreList
    example: ClassVar = {"text_1": "What holds water?", "text_2": ["A dam does.", "A sieve."]}
    renamed: ClassVar = {"messages": "text_2", "prompt": "text_2"}

    @override
    def _repeated(self, body: ScoreBody) -> int:
        pairs = len(body.text_2) if isinstance(body.text_2, list) else 1
        again = len(body.text_1.encode()) if isinstance(body.text_1, str) else 0
        return pairs * (again + PAIR_TOKENS)


class _Ranked(Struct):
    index: int
    relevance_score: float


class _Rerank(Struct):
    id: str
    results: list[_Ranked]
    usage: dict[str, Any]


_decode_rerank: Final = msgspec.json.Decoder(_Rerank).decode


class Reranking(Pooling[RerankBody]):
    """In the shape that Jina and Cohere share; the documents come back unless refused."""

    task = Task.RERANK
    shape = Ranking
    example: ClassVar = {"query": "What holds water?", "documents": ["A sieve.", "A dam does."]}
    renamed: ClassVar = {"messages": "documents", "prompt": "documents"}
    ours = frozenset({"return_documents"})

    @override
    def _repeated(self, body: RerankBody) -> int:
        return len(body.documents) * (len(body.query.encode()) + PAIR_TOKENS)

    @override
    def _shown(self, data: bytes, body: RerankBody, model: str) -> bytes:
        told = _decode_rerank(data)
        results = [self._result(ranked, body) for ranked in told.results]
        usage = {name: told.usage.get(name, 0) for name in ("prompt_tokens", "total_tokens")}
        document = {"id": told.id, "model": model, "results": results, "usage": usage}
        return msgspec.json.encode(document)

    def _result(self, ranked: _Ranked, body: RerankBody) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.structs.asdict(ranked)
        if body.return_documents is not False:
            shown["document"] = {"text": body.documents[ranked.index]}
        return shown
