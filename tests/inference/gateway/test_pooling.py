"""Embeddings, reranking and scores, with the `openai` SDK and as plain HTTP."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import openai as sdk
import pytest
from openai import OpenAI

from billing.models import Outcome
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.pooling import SIZE
from tests.inference.gateway.conftest import MODEL, READER, record_of

pytestmark = pytest.mark.django_db

EMBEDDINGS = "/v1/embeddings"
RERANK = "/v1/rerank"
SCORE = "/v1/score"
DOCUMENTS = ["a yellow banana", "Paris is the capital of France", "the capital is money"]
RANKING = {"model": READER, "query": "capital of France", "documents": DOCUMENTS}


def embed(text: Any = "Hello there", **fields: Any) -> dict[str, Any]:
    return {"model": READER, "input": text, **fields}


def test_the_sdk_gets_vectors_of_each_text_in_order(openai: OpenAI) -> None:
    both = openai.embeddings.create(model=READER, input=["one text", "another text here"])
    alone = openai.embeddings.create(model=READER, input="another text here")
    assert (both.model, [vector.index for vector in both.data]) == (READER, [0, 1])
    assert len(both.data[0].embedding) == SIZE
    assert both.data[1].embedding == alone.data[0].embedding
    assert (both.usage.prompt_tokens, alone.usage.prompt_tokens) == (9, 5)


def test_vectors_come_as_numbers_or_as_base64(http: httpx.Client) -> None:
    numbers = http.post(EMBEDDINGS, json=embed(encoding_format="float")).json()
    packed = http.post(EMBEDDINGS, json=embed(encoding_format="base64")).json()
    assert isinstance(numbers["data"][0]["embedding"], list)
    assert isinstance(packed["data"][0]["embedding"], str)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [("one two", 4), (["one", "two"], 6), ([1, 2, 3], 5), ([[1, 2], [3]], 7)],
)
def test_texts_and_token_ids_are_billed_by_what_was_read(
    http: httpx.Client, given: Any, tokens: int
) -> None:
    record = record_of(http.post(EMBEDDINGS, json=embed(given)))
    assert (record.endpoint, record.model, record.outcome) == (
        "embeddings", READER, Outcome.COMPLETED,
    )  # fmt: skip
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (tokens, 0, 0)


def test_vectors_are_never_streamed(http: httpx.Client) -> None:
    answer = http.post(EMBEDDINGS, json=embed(stream=True))
    assert answer.json()["usage"]["prompt_tokens"] == 4
    assert record_of(answer).streamed is False


def test_dimensions_are_honoured_or_refused(openai: OpenAI) -> None:
    assert openai.embeddings.create(model=READER, input="Hi", dimensions=SIZE).data
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.embeddings.create(model=READER, input="Hi", dimensions=3)
    assert caught.value.param == "dimensions"


def test_documents_are_ranked_and_come_back(http: httpx.Client) -> None:
    response = http.post(RERANK, json=RANKING)
    answer = response.json()
    assert answer["model"] == READER
    assert [result["index"] for result in answer["results"]] == [1, 2, 0]
    assert answer["results"][0]["document"] == {"text": DOCUMENTS[1]}
    assert answer["results"][0]["relevance_score"] == 1
    assert answer["usage"]["prompt_tokens"] == record_of(response).input_tokens == 28


def test_documents_stay_out_of_the_answer_when_refused(http: httpx.Client) -> None:
    answer = http.post(RERANK, json={**RANKING, "return_documents": False, "top_n": 1}).json()
    assert [result.keys() for result in answer["results"]] == [{"index", "relevance_score"}]


def test_one_text_is_scored_against_many(http: httpx.Client) -> None:
    body = {"model": READER, "text_1": "capital of France", "text_2": DOCUMENTS}
    response = http.post(SCORE, json=body)
    scores = [one["score"] for one in response.json()["data"]]
    assert scores == [0, 1, pytest.approx(1 / 3)]
    assert record_of(response).endpoint == "score"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (EMBEDDINGS, embed(""), "input"),
        (EMBEDDINGS, embed([]), "input"),
        (EMBEDDINGS, embed(["ok", ""]), "input[1]"),
        (EMBEDDINGS, embed(["ok", 3]), None),
        (EMBEDDINGS, embed([-1]), "input[0]"),
        (EMBEDDINGS, embed(encoding_format="hex"), "encoding_format"),
        (EMBEDDINGS, embed(dimensions=0), "dimensions"),
        (EMBEDDINGS, embed(truncate_prompt_tokens=5), "truncate_prompt_tokens"),
        (EMBEDDINGS, {"model": READER}, "input"),
        (RERANK, {**RANKING, "documents": []}, "documents"),
        (RERANK, {**RANKING, "documents": [{"text": "x"}]}, "documents[0]"),
        (RERANK, {**RANKING, "top_n": 0}, "top_n"),
        (SCORE, {"model": READER, "text_1": ["a", "b"], "text_2": "c"}, None),
    ],
)
def test_what_is_wrong_is_named(
    http: httpx.Client, path: str, body: dict[str, Any], param: str | None
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_a_model_of_another_task_is_refused(http: httpx.Client) -> None:
    response = http.post(EMBEDDINGS, json=embed() | {"model": MODEL})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "model_not_supported")


@pytest.mark.parametrize("path", [EMBEDDINGS, RERANK, SCORE])
def test_an_engine_that_fails_is_502_and_costs_nothing(http: httpx.Client, path: str) -> None:
    for text in ("!garbage", "!status 500"):
        body = {
            "model": READER, "input": text, "query": "x", "documents": [text], "text_1": "x",
            "text_2": text,
        }  # fmt: skip
        assert http.post(path, json=body).status_code == 502


@pytest.mark.parametrize("path", [EMBEDDINGS, RERANK, SCORE])
def test_the_engine_gets_its_own_name_and_a_salt(
    http: httpx.Client, engine: FakeVllm, path: str
) -> None:
    body = {"model": READER, "input": "a", "query": "a", "documents": ["a"], "text_1": "a"}
    assert http.post(path, json={**body, "text_2": "a", "user": "u"}).status_code == 200
    got = engine.state()["last_request_body"]
    assert got["model"] == "tiny-llama"
    assert len(got["cache_salt"]) == 64
    assert "user" not in got
