"""`/v1/responses` through a real gateway, with the official `openai` SDK."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import httpx2 as httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from billing.models import Outcome
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    COMPLETION_ONLY,
    DEAD,
    MODEL,
    Running,
    gateway_running,
    record_of,
)

pytestmark = pytest.mark.django_db

PATH = "/v1/responses"
PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def ask(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A request; commands of the fake engine stand in `text`."""
    return {"model": MODEL, "input": text, **fields}


@pytest.fixture(autouse=True)
def _fresh_engine(engine: FakeVllm) -> None:
    engine.wait_for(running=0)
    engine.reset()


def test_a_response_is_created(openai: OpenAI) -> None:
    response = openai.responses.create(
        model=MODEL, instructions="Be brief.", input="Hello there !tokens 4 !cached 3", store=True,
        metadata={"a": "b"},
    )  # fmt: skip
    assert response.output_text == "index found but compile"
    assert response.id.startswith("resp_")
    assert (response.model, response.status, response.error) == (MODEL, "completed", None)
    assert response.metadata == {"a": "b"}
    assert response.usage
    assert (response.usage.input_tokens, response.usage.output_tokens) == (16, 4)
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.to_dict()["store"] is False


def test_a_response_that_reached_its_limit_is_incomplete(openai: OpenAI) -> None:
    response = openai.responses.create(model=MODEL, input="Hello", max_output_tokens=3)
    assert (response.status, response.output_text) == ("incomplete", "index found but")
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"


def test_the_answer_goes_back_as_input(openai: OpenAI, engine: FakeVllm) -> None:
    first = openai.responses.create(model=MODEL, input="Hello !tokens 2")
    items: list[Any] = [
        {"role": "user", "content": "Hello"},
        *first.output,
        {"role": "user", "content": "And then? !tokens 1"},
    ]
    second = openai.responses.create(model=MODEL, input=items)
    assert second.output_text == "index"
    sent = engine.state()["last_request_body"]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[1]["content"] == "index found"


def test_a_response_is_streamed_event_by_event(openai: OpenAI) -> None:
    stream = openai.responses.create(model=MODEL, input="Hello !tokens 3", stream=True)
    events = list(stream)
    assert [event.type for event in events] == [
        "response.created", "response.in_progress",
        "response.output_item.added", "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.completed",
    ]  # fmt: skip
    numbers = [event.to_dict()["sequence_number"] for event in events]
    assert numbers == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "index found but"
    assert events[-1].response.usage
    assert events[-1].response.usage.output_tokens == 3


def test_the_helper_for_streams_ends_with_the_whole_response(openai: OpenAI) -> None:
    with openai.responses.stream(model=MODEL, input="Hello !tokens 3") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert response.output_text == text == "index found but"
    whole = openai.responses.create(model=MODEL, input="Hello !tokens 3").to_dict()
    streamed = response.to_dict()
    for document in (whole, streamed):
        for name in ("id", "created_at", "completed_at"):
            del document[name]
        del document["output"][0]["id"]  # type: ignore[index]
    streamed["output"][0]["content"][0].pop("parsed")  # type: ignore[index]  # the SDK's own
    assert streamed == whole


async def test_the_asynchronous_client_works(gateway: Running, key: str) -> None:
    async with (
        AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=key) as client,
        client.responses.stream(model=MODEL, input="Hello !tokens 2") as stream,
    ):
        types = [event.type async for event in stream]
        response = await stream.get_final_response()
    assert types[-1] == "response.completed"
    assert response.output_text == "index found"


def test_bytes_of_a_stream_are_those_of_openai(http: httpx.Client) -> None:
    answer = http.post(PATH, json=ask("Hi !tokens 1", stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    for block in blocks:
        event, data = block.split("\n")
        assert event.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
    assert "[DONE]" not in answer.text
    assert "tiny-llama" not in answer.text


# --- Tools and reasoning -----------------------------------------------------------------------


CITY = {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
    "additionalProperties": False,
}  # fmt: skip
WEATHER: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
CALLING = """
    Both, please. !reason 2 !tokens 1 !tool weather {"city":"Luleå"} !tool weather {"city":"Ås"}
"""


def test_functions_are_called_and_their_outputs_go_back(openai: OpenAI, engine: FakeVllm) -> None:
    asked: list[Any] = [{"role": "user", "content": CALLING}]
    first = openai.responses.parse(model=MODEL, input=asked, tools=[WEATHER], max_output_tokens=99)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [item.type for item in first.output[:2]] == ["reasoning", "message"]
    assert [call.parsed_arguments for call in calls] == [{"city": "Luleå"}, {"city": "Ås"}]
    asked += [item.to_dict() for item in first.output]
    for call in calls:
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "Snow"}
        asked.append(output)
    asked.append({"role": "user", "content": "Well? !tokens 2"})
    second = openai.responses.create(model=MODEL, input=asked, tools=[WEATHER])
    assert second.output_text == "index found"
    sent = engine.state()["last_request_body"]["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert sent[1]["reasoning"] == "index found"
    assert sent[1]["content"] == "index"
    assert [c["id"] for c in sent[1]["tool_calls"]] == [c.call_id for c in calls]
    assert [m["tool_call_id"] for m in sent[2:4]] == [c.call_id for c in calls]


def test_a_stream_of_thoughts_and_calls_adds_up(openai: OpenAI) -> None:
    with openai.responses.stream(
        model=MODEL, input=CALLING, tools=[WEATHER], max_output_tokens=99
    ) as stream:
        events = list(stream)
        response = stream.get_final_response()
    thought = [e.delta for e in events if e.type == "response.reasoning_text.delta"]
    assert "".join(thought) == "index found"
    snapshots = [e.snapshot for e in events if e.type == "response.function_call_arguments.delta"]
    assert '{"city":"Luleå"}' in snapshots
    kinds = [item.type for item in response.output]
    assert kinds == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.parsed_arguments for call in calls] == [{"city": "Luleå"}, {"city": "Ås"}]
    assert response.usage
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response.output_text == "index"


class Place(BaseModel):
    city: str
    snowy: bool


PLACE = """Where? !say {"city": "Luleå", "snowy": true}"""


def test_an_answer_is_parsed_by_its_schema(openai: OpenAI, engine: FakeVllm) -> None:
    whole = openai.responses.parse(model=MODEL, input=PLACE, text_format=Place)
    assert whole.output_parsed == Place(city="Luleå", snowy=True)
    sent = engine.state()["last_request_body"]["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["city", "snowy"]
    assert sent["json_schema"]["strict"] is True
    with openai.responses.stream(model=MODEL, input=PLACE, text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == Place(city="Luleå", snowy=True)


# --- What is recorded --------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_response_is_recorded_to_the_token(http: httpx.Client, stream: bool) -> None:
    answer = http.post(PATH, json=ask("one two !cached 4", max_output_tokens=7, stream=stream))
    record = record_of(answer)
    assert (record.endpoint, record.streamed) == ("responses", stream)
    assert record.outcome == Outcome.COMPLETED
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (12, 4, 7)


def test_a_client_that_leaves_is_billed_what_the_engine_had_counted(
    http: httpx.Client, engine: FakeVllm
) -> None:
    body = ask("!stall 4", max_output_tokens=9, stream=True)
    with http.stream("POST", PATH, json=body) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        kinds = [json.loads(next(lines).removeprefix("data: "))["type"] for _ in range(4 + 4)]
    assert kinds[-4:] == ["response.output_text.delta"] * 4
    engine.wait_for(running=0, aborted=1)
    record = record_of(answer)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert (record.input_tokens, record.output_tokens) == (10, 4)


def test_an_engine_that_dies_fails_the_response(openai: OpenAI, http: httpx.Client) -> None:
    seen = list[str]()
    with pytest.raises(sdk.APIError, match="nothing was billed"):
        seen.extend(e.type for e in openai.responses.create(**ask("!die 2"), stream=True))
    assert seen[-3:] == [*["response.output_text.delta"] * 2, "response.failed"]
    answer = http.post(PATH, json=ask("!die 2", stream=True))
    failed, error = (json.loads(b.split("\ndata: ")[1]) for b in answer.text.split("\n\n")[-3:-1])
    assert failed["response"]["error"]["code"] == "server_error"
    assert (error["type"], error["code"]) == ("error", "upstream_error")
    assert error["sequence_number"] == failed["sequence_number"] + 1
    record = record_of(answer)
    assert (record.outcome, record.output_tokens) == (Outcome.UPSTREAM_ERROR, 2)


def test_a_response_that_takes_too_long_fails(key: str, engine: FakeVllm) -> None:
    with gateway_running(GATEWAY_TOTAL_TIMEOUT_S="0.5") as gateway:
        headers = {"x-api-key": key}
        answer = httpx.post(gateway.url + PATH, json=ask("!stall 2", stream=True), headers=headers)
        assert "upstream_timeout" in answer.text.split("\n\n")[-2]
        assert record_of(answer).output_tokens == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_answers_junk_is_a_fault_of_ours(http: httpx.Client, stream: bool) -> None:
    answer = http.post(PATH, json=ask("!garbage", stream=stream))
    text = answer.text
    assert "not json" not in text
    assert '"code":"upstream_error"' in text
    assert answer.status_code == (200 if stream else 502)


# --- What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"temperature": 9}, "temperature"),
        ({"extra_body": {"cache_salt": "x"}}, "cache_salt"),
    ],
)
def test_what_cannot_be_done_raises_bad_request_error(
    openai: OpenAI, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.responses.create(model=MODEL, input="Hi", **fields)
    assert caught.value.param == param
    assert caught.value.request_id


def test_a_fault_that_the_engine_finds_is_told_in_the_names_of_this_api(openai: OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(sdk.BadRequestError) as caught:
            openai.responses.create(**ask("word " * 3000), stream=stream)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
        with pytest.raises(sdk.BadRequestError) as caught:
            openai.responses.create(**ask("!late-fault"), stream=stream)
        assert caught.value.param == "text.format"
        assert "`text.format`" in str(caught.value)
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.responses.create(**ask(max_output_tokens=99999))
    assert caught.value.param == "max_output_tokens"


def test_an_image_that_cannot_be_read_is_told_of_the_input(openai: OpenAI) -> None:
    image: Any = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.responses.create(model=MODEL, input=[{"role": "user", "content": [image]}])
    assert (caught.value.code, caught.value.param) == ("invalid_image", "input")


def test_models_that_cannot_chat_cannot_respond(openai: OpenAI) -> None:
    with pytest.raises(sdk.NotFoundError):
        openai.responses.create(model="gpt-9", input="Hi")
    with pytest.raises(sdk.APIStatusError) as caught:
        openai.responses.create(model=COMPLETION_ONLY, input="Hi")
    assert caught.value.param == "model"
    with pytest.raises(sdk.InternalServerError):
        openai.responses.create(model=DEAD, input="Hi")


def test_nothing_is_stored(openai: OpenAI, http: httpx.Client) -> None:
    response = openai.responses.create(**ask("Hi !tokens 1"), store=True)
    for call in (
        openai.responses.retrieve,
        openai.responses.cancel,
        openai.responses.delete,
        openai.responses.input_items.list,
    ):
        with pytest.raises(sdk.NotFoundError) as caught:
            call(response.id)
        assert caught.value.code == "response_not_found"
        assert "not stored" in str(caught.value)
    assert httpx.get(f"{http.base_url}{PATH}/resp_1").status_code == 401
    assert http.get(PATH).status_code == 405


def test_only_with_images_may_a_body_be_larger_than_most(http: httpx.Client) -> None:
    image = b64encode(PIXEL + bytes(110_000)).decode()
    for part, status in (
        ({"type": "input_image", "image_url": f"data:image/png;base64,{image}"}, 200),
        ({"type": "input_text", "text": image}, 413),
    ):
        body = {"model": MODEL, "input": [{"role": "user", "content": [part]}]}
        assert http.post(PATH, json=body).status_code == status
