"""`/v1/messages` and its counts through a real gateway, with the official `anthropic` SDK."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import Any

import anthropic as sdk
import httpx2 as httpx
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from billing.models import Outcome
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    COMPLETION_ONLY,
    DEAD,
    IDLE,
    MODEL,
    Running,
    gateway_running,
    record_of,
    records,
    wait_until,
)
from tests.inference.gateway.test_responses import PIXEL

pytestmark = pytest.mark.django_db

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}
CALLS = '!tool weather {"city": "Luleå"} !tool weather {"city": "Kiruna"}'
IDS = ("id", "signature")


def ask(text: str = "Hello", **fields: Any) -> Any:
    """A request; commands of the fake engine stand in `text`."""
    messages = [{"role": "user", "content": text}]
    return {"model": MODEL, "max_tokens": 50, "messages": messages, **fields}


@pytest.fixture(autouse=True)
def _fresh_engine(engine: FakeVllm) -> None:
    engine.wait_for(running=0)
    engine.reset()


def sent(engine: FakeVllm) -> dict[str, Any]:
    body: dict[str, Any] = engine.state()["last_request_body"]
    return body


def recorded() -> set[str]:
    """The requests that left a record."""
    return {str(record.request_id) for record in records()}


def blocks_of(message: sdk.types.Message) -> list[dict[str, Any]]:
    """The blocks without what differs in each answer."""
    return [
        {key: value for key, value in block.to_dict().items() if key not in IDS}
        for block in message.content
    ]


# --- Answers -----------------------------------------------------------------------------------


def test_a_message_is_answered(anthropic: Anthropic) -> None:
    message = anthropic.messages.create(
        **ask("Hello there !tokens 4 !cached 3"), system="Be brief.", metadata={"user_id": "u"}
    )
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.id.startswith("msg_")
    assert blocks_of(message) == [{"type": "text", "text": "index found but compile"}]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (13, 3, 4)
    assert usage.cache_creation_input_tokens == 0
    assert message._request_id


def test_the_engine_is_asked_for_a_chat(anthropic: Anthropic, engine: FakeVllm) -> None:
    anthropic.messages.create(**ask("Hi !tokens 1"), system="Be brief.", stop_sequences=["END"])
    body = sent(engine)
    assert len(body.pop("cache_salt")) == 64
    assert body.pop("priority") >= 0
    assert body == {
        "model": "tiny-llama", "max_tokens": 50, "stop": ["END"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi !tokens 1"},
        ],
    }  # fmt: skip
    assert "anthropic-version" not in engine.state()["last_request_headers"]


def test_an_answer_says_why_it_ended(anthropic: Anthropic) -> None:
    assert anthropic.messages.create(**ask(max_tokens=2)).stop_reason == "max_tokens"
    message = anthropic.messages.create(**ask("!tokens 2 !stop-string END"))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert anthropic.messages.create(**ask(CALLS), tools=[TOOL]).stop_reason == "tool_use"


def test_thoughts_and_calls_go_out_and_come_back(anthropic: Anthropic, engine: FakeVllm) -> None:
    question = ask(f"!reason 2 !tokens 1 {CALLS}", tools=[TOOL])
    first = anthropic.messages.create(**question, thinking={"type": "adaptive"})
    assert blocks_of(first) == [
        {"type": "thinking", "thinking": "index found"},
        {"type": "text", "text": "index"},
        {"type": "tool_use", "name": "weather", "input": {"city": "Luleå"}},
        {"type": "tool_use", "name": "weather", "input": {"city": "Kiruna"}},
    ]
    assert first.usage.output_tokens_details
    assert first.usage.output_tokens_details.thinking_tokens == 2
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "-20 °C"}
        for block in first.content
        if block.type == "tool_use"
    ]
    results.append({"type": "text", "text": "And then? !tokens 1"})
    turns: Any = [
        *question["messages"],
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    second = anthropic.messages.create(model=MODEL, max_tokens=9, messages=turns, tools=[TOOL])
    assert blocks_of(second) == [{"type": "text", "text": "index"}]
    roles = [message["role"] for message in sent(engine)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    assistant = sent(engine)["messages"][1]
    assert (assistant["content"], assistant["reasoning"]) == ("index", "index found")
    assert [json.loads(call["function"]["arguments"])["city"] for call in assistant["tool_calls"]]


def test_arguments_that_are_no_json_are_an_answer_all_the_same(anthropic: Anthropic) -> None:
    message = anthropic.messages.create(**ask('!tool f {"a":x'))
    assert blocks_of(message)[0]["input"] == {"INVALID_JSON": '{"a":x'}


def test_an_answer_follows_a_schema(anthropic: Anthropic, engine: FakeVllm) -> None:
    class City(BaseModel):
        name: str

    with pytest.raises(ValueError, match="JSON"):  # the fake engine answers in words
        anthropic.messages.parse(**ask("Where? !tokens 1"), output_format=City)
    schema = sent(engine)["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["name"]["type"] == "string"


# --- Streams -----------------------------------------------------------------------------------


def test_a_message_is_streamed_event_by_event(anthropic: Anthropic) -> None:
    events = list(anthropic.messages.create(**ask("Hello !tokens 3 !cached 2"), stream=True))
    assert [event.type for event in events] == [
        "message_start", "content_block_start", *["content_block_delta"] * 3,
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    start, end = events[0], events[-2]
    assert start.type == "message_start"
    assert (start.message.model, start.message.usage.input_tokens) == (MODEL, 13)
    assert end.type == "message_delta"
    assert end.delta.stop_reason == "end_turn"
    usage = end.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (11, 2, 3)


def test_the_helper_for_streams_ends_with_the_whole_message(anthropic: Anthropic) -> None:
    question = ask(f"!reason 2 !tokens 2 {CALLS}", tools=[TOOL])
    with anthropic.messages.stream(**question) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    whole = anthropic.messages.create(**question)
    assert text == "index found"
    assert blocks_of(message) == blocks_of(whole)
    assert message.stop_reason == whole.stop_reason == "tool_use"
    assert message.usage.to_dict() == whole.usage.to_dict()


async def test_the_asynchronous_client_works(gateway: Running, key: str) -> None:
    async with (
        AsyncAnthropic(base_url=f"{gateway.url}/", auth_token=key, api_key=None) as client,
        client.messages.stream(**ask("Hello !tokens 2")) as stream,
    ):
        assert await stream.get_final_text() == "index found"


def test_bytes_of_a_stream_are_those_of_anthropic(http: httpx.Client) -> None:
    answer = http.post(PATH, json=ask("Hi !tokens 1", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        event, data = block.split("\n")
        assert event.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    assert "[DONE]" not in answer.text
    assert "tiny-llama" not in answer.text


# --- What is recorded --------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_message_is_recorded_to_the_token(http: httpx.Client, stream: bool) -> None:
    answer = http.post(PATH, json=ask("one two !cached 4", max_tokens=7, stream=stream))
    record = record_of(answer)
    assert (record.endpoint, record.streamed) == ("messages", stream)
    assert record.outcome == Outcome.COMPLETED
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (12, 4, 7)


def test_a_client_that_leaves_is_billed_what_the_engine_had_counted(
    anthropic: Anthropic, engine: FakeVllm
) -> None:
    stream = anthropic.messages.create(**ask("!stall 4", stream=True))
    kinds = [next(stream).type for _ in range(2 + 4)]
    assert kinds[-4:] == ["content_block_delta"] * 4
    stream.close()
    engine.wait_for(running=0, aborted=1)
    record = record_of(stream.response)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert (record.input_tokens, record.output_tokens) == (10, 4)


def test_an_engine_that_dies_ends_the_stream_with_an_error(
    anthropic: Anthropic, http: httpx.Client
) -> None:
    seen = list[str]()
    with pytest.raises(sdk.APIStatusError, match="nothing was billed"):
        seen.extend(event.type for event in anthropic.messages.create(**ask("!die 2", stream=True)))
    assert seen[-2:] == ["content_block_delta"] * 2
    answer = http.post(PATH, json=ask("!die 2", stream=True))
    event, data = answer.text.split("\n\n")[-2].split("\n")
    assert event == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["request_id"] == answer.headers["request-id"]
    record = record_of(answer)
    assert (record.outcome, record.output_tokens) == (Outcome.UPSTREAM_ERROR, 2)


def test_a_message_that_takes_too_long_ends_with_an_error(key: str, engine: FakeVllm) -> None:
    with gateway_running(GATEWAY_TOTAL_TIMEOUT_S="0.5") as gateway:
        headers = {"x-api-key": key}
        answer = httpx.post(gateway.url + PATH, json=ask("!stall 2", stream=True), headers=headers)
        assert '"timeout_error"' in answer.text.split("\n\n")[-2]
        assert record_of(answer).output_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_answers_junk_is_a_fault_of_ours(http: httpx.Client, stream: bool) -> None:
    answer = http.post(PATH, json=ask("!garbage", stream=stream))
    assert "not json" not in answer.text
    assert '"api_error"' in answer.text
    assert answer.status_code == (200 if stream else 502)


# --- Counts ------------------------------------------------------------------------------------


def test_tokens_are_counted_for_free(anthropic: Anthropic, engine: FakeVllm) -> None:
    document: Any = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "Water flows."},
    }
    turns: Any = [
        {"role": "user", "content": [document, {"type": "text", "text": "What does?"}]},
        {"role": "assistant", "content": "Water."},
        {"role": "user", "content": "!tokens 1"},
    ]
    asked: Any = {"model": MODEL, "messages": turns, "system": "Be brief.", "tools": [TOOL]}
    count = anthropic.messages.count_tokens(**asked)
    assert count.to_dict() == {"input_tokens": 2 + 2 + 2 + 1 + 2 + 8}
    assert sent(engine)["model"] == "tiny-llama"
    message = anthropic.messages.create(**asked, max_tokens=9)
    assert message.usage.input_tokens == count.input_tokens
    wait_until(lambda: message._request_id in recorded())
    assert count._request_id not in recorded()


def test_counts_that_cannot_be_had_are_errors(anthropic: Anthropic) -> None:
    base: Any = {"messages": [{"role": "user", "content": "!status 500"}]}
    for model, kind in ((MODEL, sdk.InternalServerError), ("gpt-9", sdk.NotFoundError),
                        (DEAD, sdk.InternalServerError)):  # fmt: skip
        with pytest.raises(kind) as caught:
            anthropic.messages.count_tokens(model=model, **base)
        assert "EngineCore" not in str(caught.value)
        assert caught.value.request_id not in recorded()


def test_a_count_is_never_streamed(http: httpx.Client) -> None:
    answer = http.post(COUNT, json={**ask("one two"), "stream": True})
    assert answer.json() == {"input_tokens": 10}


# --- Errors ------------------------------------------------------------------------------------


def error_in(answer: httpx.Response, status: int, kind: str) -> str:
    """The message of an error, which has the shape and the headers of all errors here."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    message: str = body["error"]["message"]
    assert body == {
        "type": "error", "error": {"type": kind, "message": message},
        "request_id": answer.headers["request-id"],
    }  # fmt: skip
    assert answer.headers["x-request-id"] == answer.headers["request-id"]
    return message


def test_errors_have_the_shape_of_anthropic(gateway: Running, http: httpx.Client) -> None:
    for path in (PATH, COUNT, f"{PATH}/batches"):
        error_in(httpx.post(gateway.url + path, json=ask()), 401, "authentication_error")
    assert "max_tokens" in error_in(
        http.post(PATH, json=ask() | {"max_tokens": 0}), 400, "invalid_request_error"
    )
    bad = "invalid_request_error"
    error_in(http.post(PATH, content=b"{"), 400, bad)
    error_in(http.post(PATH, json=ask(model="gpt-9")), 404, "not_found_error")
    assert "yet" in error_in(http.post(f"{PATH}/batches", json={}), 404, "not_found_error")
    for path in (PATH, COUNT):
        error_in(http.get(path), 405, bad)
        error_in(http.post(path, json=ask(model=IDLE)), 503, "overloaded_error")
        error_in(http.post(path, json=ask(model=DEAD)), 502, "api_error")
    error_in(http.post(PATH, json=ask(), headers={"content-encoding": "gzip"}), 415, bad)
    error_in(http.post(PATH, json=ask("x" * 110_000)), 413, "request_too_large")


@pytest.mark.parametrize("version", [None, "2023-06-01", "1999-12-31", "?"])
def test_any_version_is_taken(http: httpx.Client, version: str | None) -> None:
    headers = {"anthropic-version": version, "anthropic-beta": "x"} if version else {}
    answer = http.post(f"{PATH}?beta=true", json=ask("!tokens 1"), headers=headers)
    assert answer.status_code == 200
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["request-id"])


def test_errors_are_those_of_the_sdk(anthropic: Anthropic) -> None:
    with pytest.raises(sdk.BadRequestError, match=r"`messages\[0\].content`") as caught:
        anthropic.messages.create(**ask() | {"messages": [{"role": "user", "content": 7}]})
    assert caught.value.request_id
    with pytest.raises(sdk.NotFoundError):
        anthropic.messages.create(**ask(model="gpt-9"))
    with pytest.raises(sdk.APIStatusError, match="chat"):
        anthropic.messages.create(**ask(model=COMPLETION_ONLY))
    with pytest.raises(sdk.AuthenticationError):
        anthropic.with_options(api_key="sluice_sk_nope").messages.create(**ask())


@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_that_the_engine_finds_is_told_in_the_names_of_this_api(
    anthropic: Anthropic, stream: bool
) -> None:
    for fields, words in (
        (ask("word " * 3000), "`messages` hold more than"),
        (ask("!late-fault"), "`output_config.format`"),
        (ask(max_tokens=9999), "`max_tokens` is larger"),
    ):
        with pytest.raises(sdk.BadRequestError, match=words):
            anthropic.messages.create(**fields, stream=stream)


def test_images_are_sent_with_the_request(
    anthropic: Anthropic, http: httpx.Client, engine: FakeVllm
) -> None:
    def image(data: bytes, kind: str = "image/png") -> Any:
        source = {"type": "base64", "media_type": kind, "data": b64encode(data).decode()}
        return ask(messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])

    anthropic.messages.create(**image(PIXEL))
    [part] = sent(engine)["messages"][0]["content"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    with pytest.raises(sdk.BadRequestError, match="cannot be read"):
        anthropic.messages.create(**image(b"nothing"))
    remote = {"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/x.png"}}
    with pytest.raises(sdk.BadRequestError, match="Send the image itself"):
        anthropic.messages.create(**ask(messages=[{"role": "user", "content": [remote]}]))
    assert http.post(PATH, json=image(PIXEL + bytes(110_000))).status_code == 200
    assert http.post(COUNT, json=image(PIXEL + bytes(110_000))).status_code == 200
