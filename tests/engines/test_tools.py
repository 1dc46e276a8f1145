"""Tools through the gateway: the model of the tests recites two calls of `get_weather`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from tests.engines.conftest import MODEL
from tests.engines.counting import Counted, finished, recorded, told, used
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vllm")]

QUESTION: Any = [{"role": "user", "content": "What is the weather in the north?"}]
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Luleå", "Kiruna"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": CITY, "strict": True}}


WEATHER = tool("get_weather")
BOTH = [("get_weather", {"city": "Luleå"}), ("get_weather", {"city": "Kiruna"})]


def calls(message: Any) -> list[tuple[str, Any]]:
    functions = [call.function for call in message.tool_calls or []]
    return [(function.name, json.loads(function.arguments)) for function in functions]


def ask(client: OpenAI, **fields: Any) -> Any:
    body: Any = {"model": MODEL, "messages": QUESTION, "max_tokens": 200, **fields}
    return client.chat.completions.create(**body)


def test_a_model_calls_tools_side_by_side(acme: OpenAI, vllm: Vllm) -> None:
    counted = Counted(vllm)
    answer = ask(acme, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content.strip() == "I look it up."
    assert calls(choice.message) == BOTH
    assert len({call.id for call in choice.message.tool_calls}) == 2
    record = recorded(answer._request_id)
    assert used(record) == told(answer.usage)
    wait_until(lambda: counted.tokens() == (record.input_tokens, record.output_tokens))


def test_calls_of_tools_are_streamed(acme: OpenAI, vllm: Vllm) -> None:
    counted = Counted(vllm)
    fields: Any = {"model": MODEL, "messages": QUESTION, "tools": [WEATHER]}
    with acme.chat.completions.stream(**fields) as stream:
        message = stream.get_final_completion().choices[0]
    assert (message.finish_reason, calls(message.message)) == ("tool_calls", BOTH)
    last, record = finished(
        ask(acme, tools=[WEATHER], stream=True, stream_options={"include_usage": True})
    )
    assert used(record) == told(last.usage)
    expected = 2 * record.input_tokens, 2 * record.output_tokens
    wait_until(lambda: counted.tokens() == expected)


def test_one_call_at_a_time_can_be_asked_for(acme: OpenAI) -> None:
    message = ask(acme, tools=[WEATHER], parallel_tool_calls=False).choices[0].message
    assert calls(message) == BOTH[:1]


def first_that_ends(answer: Callable[[int], Any]) -> Any:
    """The first choice that ends by itself: random weights may go on to the last token."""
    choices = (answer(seed) for seed in range(20))
    return next(choice for choice in choices if choice.finish_reason != "length")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "choice",
    ["required", {"type": "function", "function": {"name": "look"}}],
    ids=["any", "one by name"],
)
def test_a_call_can_be_forced_and_follows_its_schema(
    acme: OpenAI, choice: Any, stream: bool
) -> None:
    fields: Any = {
        "model": MODEL, "messages": QUESTION, "max_tokens": 200, "tools": [tool("look")],
        "tool_choice": choice, "parallel_tool_calls": False,
    }  # fmt: skip

    def answer(seed: int) -> Any:
        if not stream:
            return acme.chat.completions.create(**fields, seed=seed).choices[0]
        with acme.chat.completions.stream(**fields, seed=seed) as events:
            return events.get_final_completion().choices[0]

    [(name, arguments)] = calls(first_that_ends(answer).message)
    assert name == "look"
    assert arguments["city"] in {"Luleå", "Kiruna"}


def test_a_model_that_is_given_a_result_answers_in_words(acme: OpenAI) -> None:
    made = ask(acme, tools=[WEATHER]).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "-20 °C"} for call in made.tool_calls
    ]
    messages = [*QUESTION, made.model_dump(exclude_none=True), *results]
    answer = ask(acme, tools=[WEATHER], messages=messages, max_tokens=5).choices[0]
    assert (answer.finish_reason, answer.message.tool_calls) == ("length", None)


def test_no_tool_is_called_when_none_may_be(acme: OpenAI) -> None:
    answer = ask(acme, tools=[WEATHER], tool_choice="none", max_tokens=5).choices[0]
    assert (answer.finish_reason, answer.message.tool_calls) == ("length", None)


def test_a_choice_of_a_tool_that_is_not_there_is_the_customers_fault(acme: OpenAI) -> None:
    choice = {"type": "function", "function": {"name": "nope"}}
    with pytest.raises(sdk.BadRequestError) as caught:
        ask(acme, tools=[WEATHER], tool_choice=choice)
    assert caught.value.param == "tool_choice"
