"""Conversations: what is sent, what is heard, what is shown of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal

import msgspec
import pytest

from billing.pricing import Prices, UnitPrice
from console.playground.chats import (
    Answer,
    ToolCall,
    Turn,
    messages_of,
    turns_read,
    turns_shown,
    turns_write,
)
from console.playground.facts import CachedTokens, Counts, Facts, Terms, Watch
from console.playground.prose import prose
from console.playground.streams import merged

CALLS = [ToolCall("call_1", "weather", '{"place": "Luleå"}')]


def test_what_follows_tool_calls_is_what_the_tools_gave() -> None:
    turns = [Turn("Is it cold?", calls=CALLS), Turn("-12 °C")]

    asked, called, gave = messages_of(turns, "")

    assert asked == {"role": "user", "content": "Is it cold?"}
    assert called["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"place": "Luleå"}',
    }
    assert gave == {"role": "tool", "tool_call_id": "call_1", "content": "-12 °C"}


def test_a_system_prompt_stands_first_and_images_beside_their_text() -> None:
    first, second = messages_of([Turn("What is it?", ["data:image/png;base64,AA=="])], "Be brief.")

    assert first == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in second["content"]] == ["text", "image_url"]


def test_a_conversation_survives_its_form() -> None:
    turns = [
        Turn("Hej", answer="Hallå", calls=CALLS, facts=Facts(amount=Decimal("0.000000000001")))
    ]

    assert turns_read(turns_write(turns)) == turns
    assert turns_read("") == []


@pytest.mark.parametrize("text", ["{", "[1]", '{"text": "Hej"}', "null"])
def test_a_conversation_that_was_tampered_with_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        turns_read(text)
    assert turns_shown(text) == []


def test_the_pieces_of_an_answer_are_put_together() -> None:
    answer = Answer()
    heard = [
        answer.hear(msgspec.json.encode(event))
        for event in (
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"reasoning": "Hm."}}]},
            {"choices": [{"delta": {"content": "Wait"}}]},
            {"choices": [{"delta": {"tool_calls": [
                {"index": 0, "id": "a", "function": {"name": "weather", "arguments": ""}}
            ]}}]},
            {"choices": [{"delta": {"tool_calls": [
                {"index": 1, "id": "b", "function": {"name": "time", "arguments": "{}"}},
                {"index": 0, "function": {"arguments": "{}"}},
            ]}}]},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
        )
    ]  # fmt: skip

    assert heard == [False, True, True, True, True, False]
    assert (answer.text, answer.reasoning, answer.error) == ("Wait", "Hm.", "")
    assert answer.calls == [ToolCall("a", "weather", "{}"), ToolCall("b", "time", "{}")]
    assert answer.counts.prompt_tokens == 9


def test_an_error_within_a_stream_is_the_apis_message() -> None:
    answer = Answer()
    answer.hear(b'{"error": {"message": "It broke.", "code": "upstream_error"}}')
    assert answer.error == "It broke."


def test_facts_cost_what_billing_charges() -> None:
    price = UnitPrice(Decimal("0.60"), 1_000_000)
    cached = UnitPrice(Decimal("0.30"), 1_000_000)
    terms = Terms({"tiny": Prices(price, cached, price)}, {"se-north": "Luleå"})
    counts = Counts(100, 20, CachedTokens(40))

    facts = Watch().facts("tiny", counts, terms, {"x-sluice-region": "se-north"})

    assert facts.amount == Decimal("0.000060000000")
    assert (facts.cached_tokens, facts.region) == (40, "Luleå")


def test_the_speed_counts_from_the_first_token() -> None:
    assert Facts(output_tokens=11, ttft_ms=500, duration_ms=1500).tokens_per_s == 10
    assert Facts(output_tokens=1, ttft_ms=500, duration_ms=1500).tokens_per_s is None
    assert Facts(output_tokens=9, duration_ms=1500).tokens_per_s is None


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "![a](https://tracker.example/x.png)",
        "<hx-partial hx-target='#main'>",
        '```"><script>alert(1)</script>\n```',
    ],
)
def test_what_a_model_writes_is_never_trusted(text: str) -> None:
    html = prose(text)
    assert not any(tag in html for tag in ("<script", "<img", "<hx-", 'href="javascript'))


def test_markdown_is_shown_as_what_it_means() -> None:
    html = prose("# Head\n\n**bold**\n\n| a |\n|---|\n| b |\n\n```py\nx = 1\n```")
    assert '<p class="st">Head</p>' in html
    assert "<strong>bold</strong>" in html
    assert '<table class="table">' in html
    assert '<pre tabindex="0">' in html


async def test_streams_come_together_and_end_together() -> None:
    ended = list[str]()

    async def letters(name: str, count: int) -> AsyncGenerator[str]:
        try:
            for number in range(count):
                yield f"{name}{number}"
                await asyncio.sleep(0)
        finally:
            ended.append(name)

    both = merged([letters("a", 2), letters("b", 1)])
    assert sorted([item async for item in both]) == ["a0", "a1", "b0"]

    left = merged([letters("c", 100), letters("d", 100)])
    await anext(left)
    await left.aclose()
    assert sorted(ended) == ["a", "b", "c", "d"]
