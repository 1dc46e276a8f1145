"""Embeddings, reranking and scores of a real MiniLM through the gateway."""

from __future__ import annotations

import base64
import struct
from math import isclose, sqrt
from typing import Any

import httpx2 as httpx
import openai as sdk
import pytest
from openai import OpenAI

from billing.models import Outcome
from tests.engines.conftest import EMBEDDER
from tests.engines.counting import Counted, recorded
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import record_of, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("minilm")]

SIZE = 384
FRANCE = "What is the capital of France?"
DOCUMENTS = ["a yellow banana", "Paris is the capital of France", "Bread and butter"]
INPUTS: dict[str, Any] = {
    "a text": "The quick brown fox",
    "texts": ["The quick brown fox", "jumps", "over the lazy dog"],
    "token ids": [1996, 4248, 2829],
    "lists of token ids": [[1996, 4248], [2829]],
}


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_are_recorded_as_the_engine_counts_them(
    acme: OpenAI, minilm: Vllm, case: str, encoding: Any
) -> None:
    counted = Counted(minilm)
    given = INPUTS[case]
    answer = acme.embeddings.with_raw_response.create(
        model=EMBEDDER, input=given, encoding_format=encoding
    )
    body = answer.http_response.json()
    several = isinstance(given, list) and not isinstance(given[0], int)
    assert [vector["index"] for vector in body["data"]] == [*range(len(given) if several else 1)]
    assert all(len(numbers(vector["embedding"])) == SIZE for vector in body["data"])
    record = record_of(answer.http_response)
    assert (record.endpoint, record.outcome) == ("embeddings", Outcome.COMPLETED)
    assert record.input_tokens == body["usage"]["prompt_tokens"] > 0
    assert (record.cached_tokens, record.output_tokens) == (0, 0)
    wait_until(lambda: counted.tokens()[0] == record.input_tokens)


def numbers(embedding: Any) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    data = base64.b64decode(embedding)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def test_near_texts_have_near_vectors(acme: OpenAI) -> None:
    texts = [FRANCE, *DOCUMENTS]
    answer = acme.embeddings.create(model=EMBEDDER, input=texts)
    question, *vectors = [vector.embedding for vector in answer.data]
    near = [sum(a * b for a, b in zip(question, vector, strict=True)) for vector in vectors]
    assert max(near) == near[1] > 0.6
    assert isclose(sqrt(sum(a * a for a in question)), 1, abs_tol=1e-3)


def test_dimensions_that_the_model_has_not_are_refused(acme: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.embeddings.create(model=EMBEDDER, input="Hi", dimensions=64)
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize("given", ["word " * 600, [[1996] * 300], [99_999]])
def test_a_text_that_does_not_fit_is_the_customers_fault(acme: OpenAI, given: Any) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.embeddings.create(model=EMBEDDER, input=given)
    assert caught.value.param == "input"
    assert "minilm" not in str(caught.value)


def post(client: OpenAI, path: str, **body: Any) -> httpx.Response:
    return client.post(path, cast_to=httpx.Response, body={"model": EMBEDDER, **body})


def test_documents_are_ranked_and_recorded_as_the_engine_counts_them(
    acme: OpenAI, minilm: Vllm
) -> None:
    counted = Counted(minilm)
    response = post(acme, "/rerank", query=FRANCE, documents=DOCUMENTS, top_n=2)
    body = response.json()
    first, second = body["results"]
    assert (first["index"], first["document"]) == (1, {"text": DOCUMENTS[1]})
    assert first["relevance_score"] > 0.6 > second["relevance_score"]
    record = record_of(response)
    assert (record.endpoint, record.outcome) == ("rerank", Outcome.COMPLETED)
    assert record.input_tokens > 0
    wait_until(lambda: counted.tokens()[0] == record.input_tokens)


@pytest.mark.parametrize("given", [DOCUMENTS, DOCUMENTS[1]])
def test_pairs_are_scored_and_recorded_as_the_engine_counts_them(
    acme: OpenAI, minilm: Vllm, given: Any
) -> None:
    counted = Counted(minilm)
    response = post(acme, "/score", text_1=FRANCE, text_2=given)
    scores = [pair["score"] for pair in response.json()["data"]]
    assert len(scores) == (3 if isinstance(given, list) else 1)
    assert max(scores) > 0.6
    record = record_of(response)
    assert (record.endpoint, record.outcome) == ("score", Outcome.COMPLETED)
    wait_until(lambda: counted.tokens()[0] == record.input_tokens)


def test_what_the_model_cannot_do_is_said(acme: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.chat.completions.create(model=EMBEDDER, messages=[{"role": "user", "content": "Hi"}])
    assert "does not do chat" in str(caught.value)


def test_a_request_of_one_organization_is_none_of_another(acme: OpenAI, rival: OpenAI) -> None:
    mine = recorded(post(acme, "/score", text_1="a", text_2="b").headers["x-request-id"])
    other = recorded(post(rival, "/score", text_1="a", text_2="b").headers["x-request-id"])
    assert mine.organization_id != other.organization_id
