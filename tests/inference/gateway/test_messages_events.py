"""The message that an engine's chat becomes, whole and event by event, however it arrives."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from inference.engines import ENGINES, NO_USAGE, Engine, Usage
from inference.gateway.chat import answer_read
from inference.gateway.messages.answers import message_whole
from inference.gateway.messages.document import INVALID_JSON
from inference.gateway.messages.events import MessageStream
from tests import fake_vllm

VLLM, LLAMA_CPP = ENGINES["vllm"], ENGINES["llamacpp"]
RECORDED = Path(fake_vllm.__file__).parent / "recorded"
PUBLIC = "acme/tiny"

type Json = dict[str, Any]

one_event: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


# --- What an engine says -----------------------------------------------------------------------


def usage_of(tokens: int, reasoning: int | None = None) -> Json:
    details = None if reasoning is None else {"reasoning_tokens": reasoning}
    return {
        "prompt_tokens": 9, "total_tokens": 9 + tokens, "completion_tokens": tokens,
        "completion_tokens_details": details,
    }  # fmt: skip


def chat(
    *deltas: Json, finish: str | None = "stop", stop: str | int | None = None, done: bool = True
) -> bytes:
    """A stream of vLLM: a role, the `deltas` of one token each, its usage, the end."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny-llama"}
    events = list[Json]()
    for tokens, delta in enumerate([{"role": "assistant", "content": ""}, *deltas]):
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        if done and tokens == len(deltas):
            choice |= {"finish_reason": finish, "stop_reason": stop}
        events.append({**head, "choices": [choice], "usage": usage_of(tokens)})
    if done:
        usage = {**usage_of(len(deltas), 2), "prompt_tokens_details": {"cached_tokens": 4}}
        events.append({**head, "choices": [], "usage": usage})
    lines = [json.dumps(event, separators=(",", ":")) for event in events]
    lines += ["[DONE]"] if done else []
    return "".join(f"data: {line}\n\n" for line in lines).encode()


def call(index: int, *, name: str | None = None, arguments: str = "") -> Json:
    """A delta with a piece of a tool call, as vLLM cuts it."""
    function: Json = {"arguments": arguments}
    if name is None:
        return {"tool_calls": [{"index": index, "function": function}]}
    start = {"id": f"call-{index}", "type": "function", "index": index}
    return {"tool_calls": [{**start, "function": {"name": name, **function}}]}


EVERYTHING: tuple[Json, ...] = (
    {"reasoning": "Let me "},
    {"reasoning": "think: ü"},
    {"reasoning": ".", "content": "I"},
    {"content": " call"},
    call(0, name="weather"),
    call(0, arguments='{"city":'),
    call(0, arguments='"Luleå"}'),
    call(1, name="time", arguments="{}"),
    {},
)
CALLS = [
    {"id": "call-0", "function": {"name": "weather", "arguments": '{"city":"Luleå"}'}},
    {"id": "call-1", "function": {"name": "time", "arguments": "{}"}},
]


# --- What the client gets ----------------------------------------------------------------------


def relay(data: bytes, at: list[int], engine: Engine = VLLM) -> tuple[list[Json], MessageStream]:
    """The events for `data` when it arrives in pieces, cut `at`, and the stream they came from."""
    stream = MessageStream(engine, PUBLIC)
    edges = sorted({0, len(data), *at})
    return parsed(b"".join(stream.feed(data[a:b]) for a, b in pairwise(edges))), stream


def parsed(out: bytes) -> list[Json]:
    """Server-sent events as Anthropic writes them: the type twice, and no `[DONE]`."""
    found = list[Json]()
    for block in out.decode().split("\n\n")[:-1]:
        event, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert event == f"event: {found[-1]['type']}"
    return found


def without_ids(document: Any, id_: str) -> str:
    """Comparable to another: the id of the message, which signs its thoughts too, is its own."""
    return json.dumps(document).replace(id_, "ID")


def same(events: list[Json]) -> str:
    return without_ids(events, events[0]["message"]["id"])


def kinds(events: list[Json]) -> list[str]:
    """The types of events, and of what they bring, without repetitions."""
    names = list[str]()
    for event in events:
        part = event.get("content_block") or event.get("delta") or {}
        names.append(" ".join(filter(None, (event["type"], part.get("type")))))
    return [name for before, name in pairwise(["", *names]) if name != before]


def accumulated(events: list[Json]) -> Message:
    """The message that the SDK puts together."""
    snapshot: Any = None
    buffers = dict[int, bytes]()
    for event in events:
        snapshot = accumulate_event(
            event=one_event.validate_python(event), current_snapshot=snapshot, json_bufs=buffers
        )
    message: Message = snapshot
    return message


def test_a_recorded_stream_becomes_the_events_of_a_message() -> None:
    data = (RECORDED / "chat_stream.txt").read_bytes()
    events, stream = relay(data[data.index(b"data: ") :].rstrip() + b"\n\n", [])
    assert kinds(events) == [
        "message_start", "content_block_start text", "content_block_delta text_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert events[0]["message"] == {
        "type": "message", "id": events[0]["message"]["id"], "role": "assistant", "model": PUBLIC,
        "content": [], "stop_reason": None, "stop_sequence": None,
        "usage": {
            "input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }  # fmt: skip
    message = accumulated(events)
    assert message.content[0].to_dict() == {"type": "text", "text": "ng found but U"}
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 4)
    assert stream.is_done
    assert stream.usage == Usage(12, 0, 4)


def test_the_events_are_the_same_wherever_the_bytes_are_cut() -> None:
    data = chat(*EVERYTHING, finish="tool_calls")
    whole = same(relay(data, [])[0])
    for cut in range(1, len(data)):
        assert same(relay(data, [cut])[0]) == whole
    assert same(relay(data, list(range(len(data))))[0]) == whole


def test_thinking_text_and_calls_are_blocks_one_after_the_other() -> None:
    events, _ = relay(chat(*EVERYTHING, finish="tool_calls"), [])
    assert kinds(events) == [
        "message_start",
        "content_block_start thinking", "content_block_delta thinking_delta",
        "content_block_delta signature_delta", "content_block_stop",
        "content_block_start text", "content_block_delta text_delta", "content_block_stop",
        "content_block_start tool_use", "content_block_delta input_json_delta",
        "content_block_stop",
        "content_block_start tool_use", "content_block_delta input_json_delta",
        "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    indexes = [event["index"] for event in events if event["type"] == "content_block_start"]
    assert indexes == [0, 1, 2, 3]
    message = accumulated(events)
    thinking, said, weather, time = (block.to_dict() for block in message.content)
    assert thinking["thinking"] == "Let me think: ü."
    assert thinking["signature"]
    assert said["text"] == "I call"
    assert weather == {
        "type": "tool_use", "id": "call-0", "name": "weather", "input": {"city": "Luleå"},
    }  # fmt: skip
    assert (time["id"], time["name"], time["input"]) == ("call-1", "time", {})
    assert message.stop_reason == "tool_use"


def test_usage_is_what_the_engine_counted_and_leaves_cached_tokens_out() -> None:
    events, _ = relay(chat(*EVERYTHING), [])
    assert events[-2]["usage"] == {
        "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4,
        "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2},
    }  # fmt: skip


def test_text_between_the_pieces_of_a_call_waits_for_its_end() -> None:
    """A parser of tools may let the blanks between calls slip through."""
    deltas = [
        call(0, name="f", arguments="{"), {"content": "\n"}, call(0, arguments="}"),
        call(1, name="g", arguments="{"), {"content": "So"}, call(1, arguments="}"),
    ]  # fmt: skip
    message = accumulated(relay(chat(*deltas, finish="tool_calls"), [])[0])
    assert [block.type for block in message.content] == ["tool_use", "tool_use", "text"]


def test_a_call_that_goes_on_after_its_end_breaks_the_stream() -> None:
    deltas = [call(0, name="f"), call(1, name="g"), call(0, arguments="{}")]
    _, stream = relay(chat(*deltas), [])
    assert stream.is_broken
    assert not stream.is_done


def test_an_answer_of_no_words_is_an_empty_text() -> None:
    events, _ = relay(chat({"content": ""}), [])
    assert [block.to_dict() for block in accumulated(events).content] == [
        {"type": "text", "text": ""}
    ]
    assert "content_block_delta" not in [event["type"] for event in events]


def test_a_message_begins_with_the_first_count_of_an_engine() -> None:
    """llama.cpp counts nothing in the event that tells the role."""
    timings = {"cache_n": 3, "prompt_n": 6, "predicted_n": 1}
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    chunks: list[Json] = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}], "model": "x"},
        {"choices": [{"index": 0, "delta": {"content": "Hi"}}], "model": "x", "timings": timings},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "x"},
        {"choices": [], "model": "x", "usage": usage, "timings": timings},
    ]  # fmt: skip
    lines = [json.dumps(chunk, separators=(",", ":")) for chunk in chunks]
    data = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()
    events, stream = relay(data, [], LLAMA_CPP)
    start, end = events[0]["message"]["usage"], events[-2]["usage"]
    assert (start["input_tokens"], start["cache_read_input_tokens"]) == (6, 3)
    assert (end["input_tokens"], end["cache_read_input_tokens"]) == (6, 3)
    assert stream.usage == Usage(9, 3, 1)
    for cut in range(1, len(data)):
        assert same(relay(data, [cut], LLAMA_CPP)[0]) == same(events)


def test_a_stream_that_is_cut_holds_the_count_so_far() -> None:
    data = chat(*EVERYTHING, done=False)
    ends = [i + 2 for i in range(len(data)) if data.startswith(b"\n\n", i)]
    for tokens, end in enumerate(ends):
        _, stream = relay(data[:end], [])
        assert stream.usage == Usage(9, 0, tokens)
        assert not stream.is_done


def test_an_error_of_the_engine_breaks_the_stream_and_its_words_stay_inside() -> None:
    error = b'data: {"error":{"message":"EngineCore died at /opt/x.py"}}\n\ndata: [DONE]\n\n'
    events, stream = relay(chat({"content": "I"}, done=False) + error, [])
    assert stream.is_broken
    assert not stream.is_done
    assert "EngineCore" not in json.dumps(events)
    assert kinds(events)[-1] == "content_block_delta text_delta"


def test_an_error_in_place_of_the_first_event_lets_nothing_begin() -> None:
    stream = MessageStream(VLLM, PUBLIC)
    error = b'data: {"error":{"code":400}}\n\n'
    assert stream.feed(error + chat({"content": "I"})) == b""
    assert stream.is_broken
    assert stream.error == b'{"error":{"code":400}}'
    assert stream.usage == NO_USAGE


@pytest.mark.parametrize("junk", [b'{"id": not json', b'{"choices":7}', b'"\xff"', b"[]"])
def test_an_event_that_cannot_be_read_breaks_the_stream(junk: bytes) -> None:
    data = chat({"content": "I"}, done=False) + b"data: " + junk + b"\n\ndata: [DONE]\n\n"
    _, stream = relay(data, [])
    assert stream.is_broken
    assert not stream.is_done


# --- Whole answers, and why they ended ---------------------------------------------------------


def whole(message: Json, finish: str | None = "stop", stop: str | int | None = None) -> Json:
    choice = {"index": 0, "message": message, "finish_reason": finish, "stop_reason": stop}
    answer = answer_read(json.dumps({"choices": [choice], "usage": usage_of(9, 2)}).encode())
    assert answer
    document: Json = json.loads(msgspec.json.encode(message_whole(answer, Usage(9, 4, 9), PUBLIC)))
    Message.model_validate(document)
    return document


def test_a_whole_answer_is_the_message_that_a_stream_adds_up_to() -> None:
    message = {"content": "I call", "reasoning": "Let me think: ü.", "tool_calls": CALLS}
    answered = whole(message, "tool_calls")
    streamed = accumulated(relay(chat(*EVERYTHING, finish="tool_calls"), [])[0])
    added_up = streamed.to_dict()
    assert added_up.pop("stop_details") is None  # the SDK's own
    expected = json.loads(without_ids(answered, answered["id"]))
    assert json.loads(without_ids(added_up, streamed.id)) == expected


@pytest.mark.parametrize("arguments", ['{"city": "Lu', "hello", "[1]", '"x"', "{}{}", "[" * 5000])
def test_arguments_that_are_no_object_are_told_as_they_are(arguments: str) -> None:
    calls = [{"id": "a", "function": {"name": "f", "arguments": arguments}}]
    [block] = whole({"content": None, "tool_calls": calls}, "tool_calls")["content"]
    assert block["input"] == {INVALID_JSON: arguments}


@pytest.mark.parametrize("function", [{"name": "f", "arguments": ""}, {"name": "f"}])
def test_a_call_without_arguments_or_id_gets_both(function: Json) -> None:
    [block] = whole({"content": None, "tool_calls": [{"function": function}]})["content"]
    assert block["input"] == {}
    assert block["id"].startswith("toolu_")


def test_an_answer_without_anything_is_an_empty_text() -> None:
    assert whole({"content": None})["content"] == [{"type": "text", "text": ""}]


ENDINGS: list[Any] = [
    ("stop", None, [], ("end_turn", None)),
    ("stop", 128009, [], ("end_turn", None)),
    ("stop", "END", [], ("stop_sequence", "END")),
    ("length", None, [], ("max_tokens", None)),
    ("length", None, CALLS, ("max_tokens", None)),
    ("tool_calls", None, CALLS, ("tool_use", None)),
    ("stop", None, CALLS, ("tool_use", None)),
    ("stop", "END", CALLS, ("tool_use", None)),
    ("content_filter", None, [], ("refusal", None)),
    ("abort", None, [], ("end_turn", None)),
    (None, None, [], ("end_turn", None)),
]


@pytest.mark.parametrize(("finish", "stop", "calls", "expected"), ENDINGS)
def test_why_it_ended(finish: str | None, stop: Any, calls: list[Json], expected: Any) -> None:
    answered = whole({"content": "x", "tool_calls": calls or None}, finish, stop)
    assert (answered["stop_reason"], answered["stop_sequence"]) == expected
    deltas = [call(i, **made["function"]) for i, made in enumerate(calls)]
    streamed = relay(chat({"content": "x"}, *deltas, finish=finish, stop=stop), [])[0]
    assert streamed[-2]["delta"] == {"stop_reason": expected[0], "stop_sequence": expected[1]}


def test_a_call_that_a_stop_sequence_cut_short_must_not_run() -> None:
    deltas = [call(0, name="f", arguments='{"a": "')]
    events, _ = relay(chat(*deltas, stop="END"), [])
    assert events[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
