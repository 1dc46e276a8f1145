"""The Responses API on a real vLLM, with the `openai` SDK."""

from __future__ import annotations

import json
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from billing.models import Outcome
from inference.engines import Usage
from tests.engines.conftest import MODEL
from tests.engines.counting import Counted, recorded, used
from tests.engines.fleet import Vllm
from tests.engines.test_tools import BOTH, CITY
from tests.inference.gateway.conftest import record_of, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vllm")]

SCHEMA: Any = {"format": {"type": "json_schema", "name": "place", "schema": CITY, "strict": True}}
WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}
CASES: dict[str, dict[str, Any]] = {
    "a text": {"input": "Hello there", "max_output_tokens": 20},
    "items": {
        "instructions": "Be brief.",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
        "max_output_tokens": 20,
    },
    "json": {"input": "Where?", "text": SCHEMA, "max_output_tokens": 100},
    "tools": {"input": "Weather?", "tools": [WEATHER]},
}


def told(usage: Any) -> Usage:
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    cached = usage.input_tokens_details.cached_tokens
    return Usage(usage.input_tokens, cached, usage.output_tokens)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_recorded_as_the_engine_counts_it(acme: OpenAI, vllm: Vllm, case: str) -> None:
    counted = Counted(vllm)
    answer = acme.responses.create(model=MODEL, **CASES[case])
    check(case, answer)
    record = recorded(answer._request_id)
    assert (record.endpoint, record.outcome) == ("responses", Outcome.COMPLETED)
    assert answer.usage
    assert used(record) == told(answer.usage)
    wait_until(lambda: counted.tokens() == (record.input_tokens, record.output_tokens))


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_recorded_as_the_engine_counts_it(acme: OpenAI, vllm: Vllm, case: str) -> None:
    counted = Counted(vllm)
    stream = acme.responses.create(model=MODEL, **CASES[case], stream=True)
    events = list(stream)
    assert [event.sequence_number for event in events] == [*range(len(events))]
    last: Any = events[-1]
    assert last.type in {"response.completed", "response.incomplete"}
    check(case, last.response)
    record = record_of(stream.response)
    assert used(record) == told(last.response.usage)
    wait_until(lambda: counted.tokens() == (record.input_tokens, record.output_tokens))


def check(case: str, answer: Any) -> None:
    assert (answer.model, answer.store) == (MODEL, False)
    calls = [item for item in answer.output if item.type == "function_call"]
    match case:
        case "tools":
            assert [(call.name, json.loads(call.arguments)) for call in calls] == BOTH
        case "json":
            assert json.loads(answer.output_text).keys() == {"city"}
            assert answer.status == "completed"
        case _:
            assert answer.status == "incomplete"
            assert answer.incomplete_details.reason == "max_output_tokens"
            assert answer.output_text


def test_results_of_tools_are_taken(acme: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather?"}]
    first = acme.responses.create(model=MODEL, input=asked, tools=[WEATHER])
    asked += [item.model_dump(exclude_none=True) for item in first.output]
    asked += [
        {"type": "function_call_output", "call_id": item.call_id, "output": "-20 °C"}
        for item in first.output if item.type == "function_call"
    ]  # fmt: skip
    answer = acme.responses.create(model=MODEL, input=asked, tools=[WEATHER], max_output_tokens=16)
    assert {item.type for item in answer.output} == {"message"}


def test_a_client_that_leaves_pays_what_the_engine_counted(acme: OpenAI, vllm: Vllm) -> None:
    counted = Counted(vllm)
    stream = acme.responses.create(model=MODEL, input="Hello", max_output_tokens=1900, stream=True)
    for _ in range(20):
        next(stream)
    stream.close()
    wait_until(lambda: vllm.metric("num_requests_running") == 0)
    record = record_of(stream.response)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert 10 <= record.output_tokens <= counted.tokens()[1] < 1900


def test_what_is_not_stored_is_not_found(acme: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.responses.create(model=MODEL, input="Hi", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    with pytest.raises(sdk.NotFoundError):
        acme.responses.retrieve("resp_1")


def test_an_input_that_does_not_fit_is_the_customers_fault(acme: OpenAI) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.responses.create(model=MODEL, input="word " * 3000)
    assert (caught.value.param, caught.value.code) == ("input", "context_length_exceeded")
