"""What the `openai` SDK gets from a real vLLM through the gateway, and what is recorded of it."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import openai as sdk
import pytest
from django.test import Client
from openai import OpenAI

from billing.ingest import ingest
from billing.ledger import wallet_read
from billing.models import Outcome, UsageEvent
from console.templatetags.ui import exact_money
from tests.conftest import Cast
from tests.engines.conftest import MODEL
from tests.engines.counting import Counted, finished, recorded, told, used
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import record_of, records, wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vllm")]

HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
LONG = "The quick brown fox jumps over the lazy dog. " * 30
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
EVERYTHING = {
    "temperature": 0.7, "top_p": 0.9, "frequency_penalty": 0.5, "presence_penalty": -0.5,
    "logit_bias": {"100": -5}, "seed": -7, "stop": ["zebra", "lion"], "n": 2, "logprobs": True,
    "top_logprobs": 3, "max_completion_tokens": 8, "response_format": {"type": "text"},
    "reasoning_effort": "low", "user": "u", "store": False, "metadata": {"a": "b"},
    "service_tier": "auto", "parallel_tool_calls": True,
    "extra_body": {
        "top_k": 40, "min_p": 0.01, "repetition_penalty": 1.1, "unheard_of": 1,
        "chat_template_kwargs": {"enable_thinking": False},
    },
}  # fmt: skip
CHATS: dict[str, dict[str, Any]] = {
    "plain": {"max_tokens": 7},
    "max_completion_tokens": {"max_completion_tokens": 7},
    "n": {"max_tokens": 6, "n": 2},
    "logprobs": {"max_tokens": 5, "logprobs": True, "top_logprobs": 2},
    "json_schema": {"max_tokens": 40, "response_format": JSON_SCHEMA},
    "stop": {"max_tokens": 200, "stop": ["e", "t"]},
    "seed": {"max_tokens": 6, "seed": 7},
    "everything": EVERYTHING,
}
COMPLETIONS: dict[str, dict[str, Any]] = {
    "plain": {"prompt": "Once upon", "max_tokens": 7},
    "n": {"prompt": "Once upon", "max_tokens": 6, "n": 2},
    "prompts": {"prompt": ["Once upon a time", "there"], "max_tokens": 4, "n": 2},
    "token ids": {"prompt": [5, 6, 7, 8], "max_tokens": 4},
    "logprobs and echo": {"prompt": "Once upon", "max_tokens": 4, "logprobs": 2, "echo": True},
    "stop": {"prompt": "Once upon", "max_tokens": 200, "stop": "e"},
    "seed": {"prompt": "Once upon", "max_tokens": 6, "seed": 7},
}


@pytest.mark.parametrize("case", CHATS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_recorded_as_the_engine_counts_it(
    acme: OpenAI, vllm: Vllm, case: str, stream: bool
) -> None:
    counted = Counted(vllm)
    fields: Any = {"model": MODEL, "messages": HELLO, **CHATS[case]}
    if stream:
        options: Any = {"include_usage": True}
        answer, record = finished(
            acme.chat.completions.create(**fields, stream=True, stream_options=options)
        )
    else:
        answer = acme.chat.completions.create(**fields)
        record = recorded(answer._request_id)
    assert used(record) == told(answer.usage)
    assert (record.outcome, record.streamed) == (Outcome.COMPLETED, stream)
    assert record.input_tokens > 0
    expected = record.input_tokens * fields.get("n", 1), record.output_tokens
    wait_until(lambda: counted.tokens() == expected)


@pytest.mark.parametrize("case", COMPLETIONS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_recorded_as_the_engine_counts_it(
    acme: OpenAI, vllm: Vllm, case: str, stream: bool
) -> None:
    counted = Counted(vllm)
    fields: Any = {"model": MODEL, **COMPLETIONS[case]}
    if stream:
        options: Any = {"include_usage": True}
        answer, record = finished(
            acme.completions.create(**fields, stream=True, stream_options=options)
        )
    else:
        answer = acme.completions.create(**fields)
        record = recorded(answer._request_id)
    assert used(record) == told(answer.usage)
    assert (record.endpoint, record.outcome) == ("completions", Outcome.COMPLETED)
    expected = record.input_tokens * fields.get("n", 1), record.output_tokens
    wait_until(lambda: counted.tokens() == expected)


def test_a_stream_has_no_usage_unless_asked_for_and_is_recorded(acme: OpenAI) -> None:
    stream = acme.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=9, stream=True)
    chunks = list(stream)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert record_of(stream.response).output_tokens == 9


def test_choices_logprobs_stop_and_limits_mean_what_they_say(acme: OpenAI) -> None:
    create = acme.chat.completions.create
    two = create(model=MODEL, messages=HELLO, max_completion_tokens=6, n=2)
    assert [choice.finish_reason for choice in two.choices] == ["length"] * 2
    likely = create(model=MODEL, messages=HELLO, max_tokens=5, logprobs=True, top_logprobs=2)
    assert likely.choices[0].logprobs
    tokens = likely.choices[0].logprobs.content or []
    assert [len(token.top_logprobs) for token in tokens] == [2] * 5
    stopped = create(model=MODEL, messages=HELLO, max_tokens=400, stop=["e", "t"]).choices[0]
    assert stopped.finish_reason == "stop"
    assert not {"e", "t"} & set(stopped.message.content or "")


def test_a_json_schema_is_followed(acme: OpenAI) -> None:
    fields: Any = CHATS["json_schema"]
    answer = acme.chat.completions.create(model=MODEL, messages=HELLO, **fields)
    assert json.loads(answer.choices[0].message.content or "").keys() == {"ok"}


def test_a_seed_repeats_an_answer(acme: OpenAI) -> None:
    texts = {
        acme.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8, seed=seed)
        .choices[0].message.content
        for seed in (7, 7, 8)
    }  # fmt: skip
    assert len(texts) == 2


def test_a_cache_serves_one_organization_only(acme: OpenAI, rival: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": LONG}]

    def cached(client: OpenAI) -> int:
        answer = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=2)
        assert used(recorded(answer._request_id)) == told(answer.usage)
        return told(answer.usage).cached_tokens

    first, again = cached(acme), cached(acme)
    assert first == 0
    assert again >= 128
    assert cached(rival) == 0
    assert cached(rival) == again


def test_a_client_that_leaves_stops_the_engine_and_pays_what_it_counted(
    acme: OpenAI, vllm: Vllm
) -> None:
    counted = Counted(vllm)
    stream = acme.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1900, stream=True)
    for _ in range(5):
        next(stream)
    stream.close()
    wait_until(lambda: vllm.metric("num_requests_running") == 0)
    record = record_of(stream.response)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert record.input_tokens > 0
    assert 4 <= record.output_tokens <= counted.tokens()[1] < 1900


def test_a_cut_stream_costs_the_same_in_its_event_on_its_page_and_in_the_books(
    acme: OpenAI, vllm: Vllm, cast: Cast, client: Client
) -> None:
    while ingest():  # what tests before this one left
        pass
    before = wallet_read([cast.acme.pk])[cast.acme.pk].unbilled
    stream = acme.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1900, stream=True)
    for _ in range(9):
        next(stream)
    stream.close()
    record = record_of(stream.response)
    assert ingest() == 1
    event = UsageEvent.objects.get(organization=cast.acme, request_id=record.request_id)
    assert event.outcome == Outcome.CLIENT_DISCONNECT
    assert (event.input_tokens, event.output_tokens) == (record.input_tokens, record.output_tokens)
    assert event.amount == (record.input_tokens + record.output_tokens) * Decimal("0.25") / 10**6
    assert wallet_read([cast.acme.pk])[cast.acme.pk].unbilled - before == event.amount
    client.force_login(cast.olivia)
    page = client.get(f"/o/{cast.acme.slug}/requests/{record.request_id}/").content.decode()
    assert exact_money(event.amount) in page
    assert f'<td class="n">{event.output_tokens}</td>' in page


def test_all_choices_of_a_stream_that_is_cut_are_billed(acme: OpenAI, vllm: Vllm) -> None:
    """vLLM's running counts are of one choice each."""
    counted = Counted(vllm)
    stream = acme.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=1900, n=3, stream=True, logprobs=True
    )
    seen = Counter[int]()
    while len(seen) < 3 or min(seen.values()) < 20:
        choice = next(stream).choices[0]
        seen[choice.index] += len((choice.logprobs and choice.logprobs.content) or [])
    stream.close()
    wait_until(lambda: vllm.metric("num_requests_running") == 0)
    record = record_of(stream.response)
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert 60 <= seen.total() <= record.output_tokens <= counted.tokens()[1]


def test_all_prompts_of_a_stream_that_is_cut_are_billed(acme: OpenAI, vllm: Vllm) -> None:
    prompts = ["Once upon a time", "there"]
    whole = acme.completions.create(model=MODEL, prompt=prompts, max_tokens=1, n=2)
    assert whole.usage
    stream = acme.completions.create(model=MODEL, prompt=prompts, max_tokens=1900, n=2, stream=True)
    seen = set[int]()
    while len(seen) < 4:
        seen.add(next(stream).choices[0].index)
    stream.close()
    wait_until(lambda: vllm.metric("num_requests_running") == 0)
    record = record_of(stream.response)
    assert record.input_tokens == whole.usage.prompt_tokens
    assert record.output_tokens >= 4


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "messages",
         "context_length_exceeded"),
        ({"max_tokens": 3000}, "max_tokens", "context_length_exceeded"),
        ({"temperature": 0, "n": 2}, "n", "invalid_value"),
        ({"stop": [""]}, "stop", None),
        ({"logit_bias": {"99999": 1}}, "logit_bias", None),
        ({"tool_choice": "auto"}, "tool_choice", None),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
         "response_format", "invalid_response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "nope"}}}},
         "response_format", "invalid_response_format"),
    ],
)  # fmt: skip
def test_a_fault_of_the_customer_is_his_to_read(
    acme: OpenAI, fields: dict[str, Any], param: str, code: str | None, stream: bool
) -> None:
    body: Any = {"model": MODEL, "messages": HELLO, "stream": stream, **fields}
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.chat.completions.create(**body)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert "tiny-llama" not in str(caught.value)
    assert caught.value.request_id not in {str(record.request_id) for record in records()}


@pytest.mark.parametrize("prompt", ["", [""], [[5, 99999]]])
def test_a_prompt_that_is_none_is_the_customers_fault(acme: OpenAI, prompt: Any) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        acme.completions.create(model=MODEL, prompt=prompt)
    assert caught.value.param == "prompt"
