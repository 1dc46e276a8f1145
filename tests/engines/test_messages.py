"""Anthropic's API on a real vLLM, with the `anthropic` SDK."""

from __future__ import annotations

from typing import Any

import anthropic as sdk
import pytest
from anthropic import Anthropic

from billing.models import Outcome
from inference.engines import Usage
from tests.engines.conftest import MODEL
from tests.engines.counting import Counted, recorded, used
from tests.engines.fleet import Vllm
from tests.engines.test_tools import BOTH, CITY
from tests.inference.gateway.conftest import record_of, records, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vllm")]

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {"name": "get_weather", "input_schema": CITY}
LOOK: Any = {"name": "look", "input_schema": CITY}
FORCED: Any = {"type": "tool", "name": "look", "disable_parallel_tool_use": True}
CASES: dict[str, dict[str, Any]] = {
    "a question": {"max_tokens": 8},
    "a system prompt": {"max_tokens": 8, "system": [{"type": "text", "text": "Be brief."}]},
    "stops": {"max_tokens": 200, "stop_sequences": ["e", "t"]},
    "tools": {"max_tokens": 100, "tools": [WEATHER]},
    "a long prompt": {
        "max_tokens": 4, "messages": [{"role": "user", "content": "The quick brown fox. " * 40}],
    },
}  # fmt: skip
REASONS = {"stops": "stop_sequence", "tools": "tool_use"}


def told(usage: Any) -> Usage:
    """Anthropic counts what a cache held apart."""
    cached = usage.cache_read_input_tokens or 0
    return Usage(usage.input_tokens + cached, cached, usage.output_tokens)


def calls(answer: Any) -> list[tuple[str, Any]]:
    return [(block.name, block.input) for block in answer.content if block.type == "tool_use"]


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_recorded_as_the_engine_counts_it(
    anthropic: Anthropic, vllm: Vllm, case: str
) -> None:
    counted = Counted(vllm)
    answer = anthropic.messages.create(**{"model": MODEL, "messages": HELLO} | CASES[case])
    check(case, answer)
    record = recorded(answer._request_id)
    assert (record.endpoint, record.outcome) == ("messages", Outcome.COMPLETED)
    assert used(record) == told(answer.usage)
    wait_until(lambda: counted.tokens() == (record.input_tokens, record.output_tokens))


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_recorded_as_the_engine_counts_it(
    anthropic: Anthropic, vllm: Vllm, case: str
) -> None:
    counted = Counted(vllm)
    fields: Any = {"model": MODEL, "messages": HELLO} | CASES[case]
    with anthropic.messages.stream(**fields) as stream:
        answer = stream.get_final_message()
    check(case, answer)
    record = recorded(stream.request_id)
    assert used(record) == told(answer.usage)
    wait_until(lambda: counted.tokens() == (record.input_tokens, record.output_tokens))


def check(case: str, answer: Any) -> None:
    assert (answer.model, answer.type, answer.role) == (MODEL, "message", "assistant")
    assert answer.stop_reason == REASONS.get(case, "max_tokens")
    assert calls(answer) == (BOTH if case == "tools" else [])
    if case == "stops":
        assert answer.stop_sequence in {"e", "t"}


def test_a_call_can_be_forced(anthropic: Anthropic) -> None:
    """Random weights may go on to the last token, and then there is none."""
    answers = (
        anthropic.messages.create(
            model=MODEL, messages=HELLO, max_tokens=400, tools=[LOOK], tool_choice=FORCED
        )
        for _ in range(20)
    )
    [(name, _arguments)] = next(found for answer in answers if (found := calls(answer)))
    assert name == "look"


def test_results_of_tools_are_taken(anthropic: Anthropic) -> None:
    first = anthropic.messages.create(model=MODEL, messages=HELLO, max_tokens=99, tools=[WEATHER])
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "-20 °C"}
        for block in first.content if block.type == "tool_use"
    ]  # fmt: skip
    said: Any = [block.model_dump(exclude_none=True) for block in first.content]
    messages: Any = [
        *HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": results},
    ]  # fmt: skip
    answer = anthropic.messages.create(
        model=MODEL, messages=messages, max_tokens=5, tools=[WEATHER]
    )
    assert (answer.stop_reason, [block.type for block in answer.content]) == (
        "max_tokens",
        ["text"],
    )


def test_tokens_are_counted_for_free(anthropic: Anthropic) -> None:
    counted = anthropic.messages.count_tokens(model=MODEL, messages=HELLO, system="Be brief.")
    answer = anthropic.messages.create(
        model=MODEL, messages=HELLO, system="Be brief.", max_tokens=1
    )
    assert counted.input_tokens == answer.usage.input_tokens
    recorded(answer._request_id)
    assert counted._request_id not in {str(record.request_id) for record in records()}


def test_a_client_that_leaves_pays_what_the_engine_counted(
    anthropic: Anthropic, vllm: Vllm
) -> None:
    counted = Counted(vllm)
    stream = anthropic.messages.create(model=MODEL, messages=HELLO, max_tokens=1900, stream=True)
    for _ in range(20):
        next(stream)
    stream.close()
    wait_until(lambda: vllm.metric("num_requests_running") == 0)
    record = record_of(stream.response)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert 10 <= record.output_tokens <= counted.tokens()[1] < 1900


def test_a_cache_serves_one_organization_only(anthropic: Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "Only Acme has asked this. " * 40}]

    def ask() -> Any:
        return anthropic.messages.create(model=MODEL, messages=messages, max_tokens=1).usage

    first, again = ask(), ask()
    assert (first.cache_read_input_tokens or 0) == 0
    assert again.cache_read_input_tokens >= 128
    assert again.input_tokens + again.cache_read_input_tokens == first.input_tokens


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, sdk.BadRequestError),
        ({"max_tokens": 3000}, sdk.BadRequestError),
        ({"model": "nope"}, sdk.NotFoundError),
    ],
)
def test_a_fault_of_the_customer_is_his_to_read(
    anthropic: Anthropic, fields: dict[str, Any], error: type[sdk.APIStatusError]
) -> None:
    body: Any = {"model": MODEL, "messages": HELLO, "max_tokens": 5, **fields}
    with pytest.raises(error) as caught:
        anthropic.messages.create(**body)
    problem: Any = caught.value.body
    assert problem["error"]["type"] in {"invalid_request_error", "not_found_error"}
    assert "tiny-llama" not in str(caught.value)
