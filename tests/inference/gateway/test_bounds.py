"""What a request can use at most, and what that costs: never less than what it does use."""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import Outcome
from billing.pricing import Prices, UnitPrice
from inference.engines import Usage
from inference.gateway.audio.form import form_write
from inference.gateway.bounds import IMAGE_TOKENS, Bound, Sent
from inference.gateway.charging import nano_charged, nano_most
from inference.gateway.endpoints import ENDPOINTS
from tests.fake_vllm.ask import ask_read
from tests.fake_vllm.audio import speech
from tests.inference.gateway.hostile.good import BODIES

CONTEXT: Final = 2048
USER: Final = {"role": "user", "content": "Hello"}
tokens = st.integers(0, 10_000)
prices = st.decimals(0, 1000, places=6)


def tariff(input_: Decimal, cached: Decimal, output: Decimal, second: Decimal) -> Prices:
    million, minute = 10**6, 60
    return Prices(
        UnitPrice(input_, million),
        UnitPrice(cached, million),
        UnitPrice(output, million),
        UnitPrice(second, minute),
    )


PRICES: Final = tariff(Decimal(0), Decimal(0), Decimal(1), Decimal(1))
tariffs = st.builds(tariff, prices, prices, prices, prices)


@given(tariffs, tokens, tokens, tokens, st.integers(0, 10_000))
def test_a_charge_is_what_the_books_say_rounded_up(
    found: Prices, fresh: int, cached: int, output: int, seconds: int
) -> None:
    usage = Usage(fresh + cached, cached, output, seconds)
    amount = found.amount(
        input_tokens=usage.input_tokens,
        cached_tokens=cached,
        output_tokens=output,
        audio_seconds=seconds,
    )
    nano = int((amount * 10**9).to_integral_value(ROUND_CEILING))
    assert nano_charged(found, Outcome.COMPLETED, usage) == nano


@given(tariffs, tokens, tokens)
def test_a_failure_of_ours_costs_nothing(found: Prices, read: int, written: int) -> None:
    usage = Usage(read, 0, written)
    assert nano_charged(found, Outcome.UPSTREAM_ERROR, usage) == 0
    assert nano_charged(found, Outcome.TIMEOUT, usage) == 0


def test_what_has_no_price_is_not_free() -> None:
    with pytest.raises(LookupError):
        nano_charged(Prices(), Outcome.COMPLETED, Usage(1, 0, 0))


@given(
    tariffs,
    st.integers(1, 10_000),
    st.none() | st.integers(1, 5_000),
    st.integers(1, 4),
    st.integers(1, 8),
    st.data(),
)
def test_no_use_within_the_bound_costs_more(
    found: Prices, read: int, asked: int | None, prompts: int, choices: int, data: st.DataObject
) -> None:
    bound = Bound(read, asked, prompts, choices)
    used_in = used_out = 0
    for _ in range(prompts):
        own = data.draw(st.integers(0, min(read - used_in, CONTEXT)))
        used_in += own
        room = CONTEXT - own if asked is None else min(asked, CONTEXT - own)
        used_out += sum(data.draw(st.integers(0, room)) for _ in range(choices))
    cached = data.draw(st.integers(0, used_in))
    charged = nano_charged(found, Outcome.COMPLETED, Usage(used_in, cached, used_out))
    assert charged <= nano_most(bound, found, CONTEXT)


@given(tariffs, tokens, st.integers(0, 10_000))
def test_what_is_only_read_or_heard_costs_no_more(found: Prices, read: int, seconds: int) -> None:
    bound = Bound(read, audio_seconds=seconds)
    charged = nano_charged(found, Outcome.COMPLETED, Usage(read, 0, 0, seconds))
    assert charged <= nano_most(bound, found, CONTEXT)


@pytest.mark.parametrize("path", sorted(BODIES))
def test_each_path_has_a_bound_that_its_bytes_do_not_pass(path: str) -> None:
    endpoint: Any = ENDPOINTS[path]
    data = json.dumps({"model": "acme/tiny", **BODIES[path]}).encode()
    body = endpoint.read(data, "application/json")
    bound = endpoint.bound(body, Sent(len(data)))
    assert not endpoint.is_metered or bound.input_tokens >= len(data)


def chat_bound(**fields: Any) -> Bound:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return bound_of("chat/completions", body)


def bound_of(path: str, body: dict[str, Any], images: int = 0) -> Bound:
    endpoint: Any = ENDPOINTS[path]
    data = json.dumps(body).encode()
    bound: Bound = endpoint.bound(endpoint.read(data, ""), Sent(len(data), images))
    return bound


def test_each_choice_counts() -> None:
    assert nano_most(chat_bound(max_tokens=10, n=3), PRICES, CONTEXT) > nano_most(
        chat_bound(max_tokens=29), PRICES, CONTEXT
    )


def test_the_older_name_of_a_field_does_not_hide_the_newer_one() -> None:
    assert chat_bound(max_tokens=1, max_completion_tokens=30).output_tokens == 30


def test_without_a_most_of_tokens_the_context_ends_an_answer() -> None:
    bound = chat_bound()
    assert bound.output_tokens is None
    assert nano_most(bound, PRICES, CONTEXT) == CONTEXT * 1000


def test_a_completion_ends_where_this_api_always_ended_it() -> None:
    assert bound_of("completions", {"model": "m", "prompt": ["a", "b"], "n": 2}) == Bound(
        bound_of("completions", {"model": "m", "prompt": ["a", "b"], "n": 2}).input_tokens, 16, 2, 2
    )


def test_tools_count_more_than_their_bytes() -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    many = chat_bound(tools=[tool] * 20)
    assert many.input_tokens > chat_bound().input_tokens + 20 * 2 * len(json.dumps(tool))


def test_an_image_counts_by_its_pieces_and_not_by_its_bytes() -> None:
    plain = bound_of("chat/completions", {"model": "m", "messages": [USER]})
    shown = bound_of("chat/completions", {"model": "m", "messages": [USER]}, images=2)
    assert shown.input_tokens == plain.input_tokens + 2 * IMAGE_TOKENS


def test_a_query_counts_with_each_document() -> None:
    query, documents = "w" * 1000, ["a"] * 50
    bound = bound_of("rerank", {"model": "m", "query": query, "documents": documents})
    assert bound.input_tokens >= 50 * 1000
    pairs = bound_of("score", {"model": "m", "text_1": query, "text_2": documents})
    assert pairs.input_tokens >= 50 * 1000


@pytest.mark.parametrize("seconds", [0.5, 2, 61])
def test_a_recording_is_as_long_as_its_samples(seconds: float) -> None:
    data, content_type = form_write([("model", "m")], memoryview(speech(seconds)))
    endpoint: Any = ENDPOINTS["audio/transcriptions"]
    body = endpoint.read(data, content_type)
    bound = endpoint.bound(body, Sent(len(data)))
    assert seconds <= bound.audio_seconds <= seconds + 2


def test_what_a_flac_says_of_itself_counts() -> None:
    packed = (16_000 << 44 | 16_000 * 3600).to_bytes(8)
    silence = b"fLaC\0\0\0\x22" + bytes(10) + packed + bytes(16)
    data, content_type = form_write([("model", "m")], memoryview(silence))
    endpoint: Any = ENDPOINTS["audio/transcriptions"]
    bound = endpoint.bound(endpoint.read(data, content_type), Sent(len(data)))
    assert bound.audio_seconds >= 3600


@given(st.lists(st.text(), min_size=1, max_size=5), st.integers(1, 3000))
def test_what_an_engine_reads_and_writes_lies_within(texts: list[str], most: int) -> None:
    body = {
        "model": "m",
        "max_tokens": most,
        "messages": [{"role": "user", "content": text} for text in texts],
    }
    asked, bound = (
        ask_read(body, is_chat=True, request_id="one"),
        bound_of("chat/completions", body),
    )
    assert asked.prompt_tokens <= bound.input_tokens
    assert asked.output_tokens <= (bound.output_tokens or 0)


@given(st.integers(0, 10_000), st.none() | st.integers(1, 5_000), st.integers(1, 8))
def test_what_counts_for_a_minute_is_asked_for_or_usual(
    read: int, asked: int | None, choices: int
) -> None:
    counted = Bound(read, asked, choices=choices).tokens(CONTEXT)
    assert read // 4 <= counted <= read // 4 + (asked or CONTEXT) * choices
