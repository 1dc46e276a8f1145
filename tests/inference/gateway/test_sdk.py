"""The official `openai` SDK sees nothing but OpenAI."""

from __future__ import annotations

import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.inference.gateway.conftest import COMPLETION_ONLY, DEAD, IDLE, MODEL, Running

pytestmark = pytest.mark.django_db

MESSAGES: list[sdk.types.chat.ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hello there"}]},
]


def test_a_chat_is_answered(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=5, user="u", store=False, metadata={"a": "b"}
    )
    assert answer.model == MODEL
    assert answer.choices[0].message.content == "index found but compile stream"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)


def test_a_chat_is_streamed_with_usage_when_asked_for(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "index found but compile stream"
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [5]
    assert chunks[-1].usage
    assert chunks[-1].choices == []


def test_a_chat_is_streamed_without_usage_when_not_asked_for(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=5, stream=True)
    )
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_completions_work_streamed_and_not(openai: OpenAI) -> None:
    whole = openai.completions.create(model=MODEL, prompt="Once upon", max_tokens=3)
    assert whole.choices[0].text == "index found but"
    stream = openai.completions.create(model=MODEL, prompt="Once upon", max_tokens=3, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "index found but"


async def test_the_asynchronous_client_works(gateway: Running, key: str) -> None:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1/", api_key=key) as client:
        answer = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_completion_tokens=4
        )
        assert answer.usage
        assert answer.usage.completion_tokens == 4
        async with await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=4, stream=True
        ) as stream:
            assert len([chunk async for chunk in stream]) == 5


def test_models_are_listed_and_retrieved(openai: OpenAI) -> None:
    listed = {model.id: model for model in openai.models.list()}
    assert {MODEL, IDLE, DEAD, COMPLETION_ONLY} <= listed.keys()
    model = openai.models.retrieve(MODEL)
    assert (model.object, model.owned_by) == ("model", "Acme")
    extra = model.model_extra
    assert extra
    assert extra["context_tokens"] == 2048
    assert extra["tasks"] == ["chat", "completion"]
    assert extra["regions"] == ["se-north"]
    assert extra["prices"] == {
        "currency": "EUR",
        "input": {"price": "0.25", "per": 1_000_000},
        "cached_input": {"price": "0.25", "per": 1_000_000},
        "output": {"price": "0.25", "per": 1_000_000},
    }  # fmt: skip


def test_a_wrong_key_raises_authentication_error(gateway: Running) -> None:
    with (
        OpenAI(base_url=f"{gateway.url}/v1", api_key="sluice_sk_wrong") as client,
        pytest.raises(sdk.AuthenticationError) as caught,
    ):
        client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_an_unknown_model_raises_not_found_error(openai: OpenAI) -> None:
    with pytest.raises(sdk.NotFoundError) as caught:
        openai.chat.completions.create(model="gpt-9", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(sdk.NotFoundError):
        openai.models.retrieve("gpt-9")


def test_a_bad_field_raises_bad_request_error(openai: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=9)
    assert caught.value.param == "temperature"


def test_a_prompt_too_long_says_so_in_openais_words(openai: OpenAI) -> None:
    long = "word " * 3000
    for stream in (False, True):
        with pytest.raises(sdk.BadRequestError) as caught:
            openai.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": long}], stream=stream
            )
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_that_the_engine_finds_late_is_a_bad_request(openai: OpenAI, stream: bool) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "!late-fault"}], stream=stream
        )
    assert caught.value.code == "invalid_response_format"
    assert "nope" not in str(caught.value)


def test_a_dead_backend_raises_internal_server_error(openai: OpenAI) -> None:
    with pytest.raises(sdk.InternalServerError) as caught:
        openai.chat.completions.create(model=DEAD, messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_error")


def test_a_stream_that_breaks_raises_api_error(openai: OpenAI) -> None:
    stream = openai.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "!die 2"}], stream=True
    )
    seen: list[str] = []
    with pytest.raises(sdk.APIError, match="nothing was billed"):
        seen.extend(chunk.choices[0].delta.content or "" for chunk in stream)
