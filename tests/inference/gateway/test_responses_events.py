"""The response that an engine's chat becomes, whole and event by event, however it arrives."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from inference.engines import ENGINES, Usage
from inference.gateway.bodies import body_decoder
from inference.gateway.chat import answer_read
from inference.gateway.errors import UpstreamError
from inference.gateway.responses.answers import response_whole
from inference.gateway.responses.bodies import ResponsesBody
from inference.gateway.responses.events import ResponseStream
from tests import fake_vllm

VLLM = ENGINES["vllm"]
RECORDED = Path(fake_vllm.__file__).parent / "recorded"
PUBLIC = "acme/tiny"
LOGPROBS = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}

type Json = dict[str, Any]

read = body_decoder(ResponsesBody)
one_event: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def body(**fields: Any) -> ResponsesBody:
    return read(json.dumps({"model": PUBLIC, "input": "Hi", **fields}).encode())


# --- What an engine says -----------------------------------------------------------------------


def usage_of(tokens: int, reasoning: int | None = None) -> Json:
    details = None if reasoning is None else {"reasoning_tokens": reasoning}
    return {
        "prompt_tokens": 9, "total_tokens": 9 + tokens, "completion_tokens": tokens,
        "completion_tokens_details": details,
    }  # fmt: skip


def chat(
    *deltas: Json, finish: str = "stop", logprobs: list[Json] | None = None, done: bool = True
) -> bytes:
    """A stream of vLLM: a role, the `deltas` of one token each, its usage, the end."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny-llama"}
    events = list[Json]()
    for tokens, delta in enumerate([{"role": "assistant", "content": ""}, *deltas]):
        choice: Json = {"index": 0, "delta": delta, "logprobs": None}
        choice["finish_reason"] = finish if done and tokens == len(deltas) else None
        if logprobs and tokens:
            choice["logprobs"] = {"content": [logprobs[tokens - 1]]}
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


def token(text: str) -> Json:
    top = {"token": text, "logprob": -0.5, "bytes": list(text.encode())}
    return {**top, "top_logprobs": [top]}


# --- What the client gets ----------------------------------------------------------------------


def relay(data: bytes, at: list[int], **fields: Any) -> tuple[list[Json], ResponseStream]:
    """The events for `data` when it arrives in pieces, cut `at`, and the stream they came from."""
    stream = ResponseStream(body(**fields), VLLM, PUBLIC)
    edges = sorted({0, len(data), *at})
    out = b"".join(stream.feed(data[a:b]) for a, b in pairwise(edges))
    return parsed(out), stream


def parsed(out: bytes) -> list[Json]:
    """Server-sent events as OpenAI writes them: the type twice, and no `[DONE]`."""
    found = list[Json]()
    for block in out.decode().split("\n\n")[:-1]:
        event, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert event == f"event: {found[-1]['type']}"
    return found


def without_ids(events: list[Json]) -> str:
    """Comparable to those of another stream: ids and times are its own."""
    text = json.dumps(events)
    first = events[0]["response"]
    root = first["id"].removeprefix("resp_")
    for key in ("created_at", "completed_at"):
        value = events[-1]["response"][key]
        text = text.replace(f'"{key}": {value}', f'"{key}": 0')
    return text.replace(root, "ID")


def kinds(events: list[Json]) -> list[str]:
    """The types of the events without those of the same type right before them."""
    names = [event["type"].removeprefix("response.") for event in events]
    return [name for before, name in pairwise(["", *names]) if name != before]


def joined(events: list[Json], kind: str, index: int) -> str:
    """All deltas of an item."""
    name = f"response.{kind}.delta"
    mine = [e for e in events if e["type"] == name and e["output_index"] == index]
    return "".join(event["delta"] for event in mine)


def test_a_recorded_stream_becomes_the_events_of_a_response() -> None:
    data = (RECORDED / "chat_stream.txt").read_bytes()
    data = data[data.index(b"data: ") :].rstrip() + b"\n\n"
    events, stream = relay(data, [])
    assert kinds(events) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "incomplete",
    ]  # fmt: skip
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["response"]["output"] == []
    response = Response.model_validate(events[-1]["response"])
    assert response.output_text == "ng found but U"
    assert (response.status, response.model) == ("incomplete", PUBLIC)
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    assert stream.is_done
    assert stream.usage == Usage(12, 0, 4)


def test_the_events_are_the_same_wherever_the_bytes_are_cut() -> None:
    data = chat(*EVERYTHING, finish="tool_calls")
    whole = without_ids(relay(data, [])[0])
    for cut in range(1, len(data)):
        assert without_ids(relay(data, [cut])[0]) == whole
    assert without_ids(relay(data, list(range(len(data))))[0]) == whole


def test_every_event_is_one_that_the_sdk_knows() -> None:
    events, stream = relay(chat(*EVERYTHING), [])
    for event in [*events, *parsed(stream.failed(UpstreamError()))]:
        assert one_event.validate_python(event).type == event["type"]


def test_reasoning_text_and_calls_are_items_in_the_order_they_began() -> None:
    events, _ = relay(chat(*EVERYTHING, finish="tool_calls"), [])
    assert kinds(events) == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    response = events[-1]["response"]
    reasoning, message, weather, time = response["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Let me think: ü."}]
    assert [part["text"] for part in message["content"]] == ["I call"]
    assert (weather["call_id"], weather["name"]) == ("call-0", "weather")
    assert weather["arguments"] == '{"city":"Luleå"}'
    assert joined(events, "function_call_arguments", 2) == weather["arguments"]
    assert (time["call_id"], time["name"], time["arguments"]) == ("call-1", "time", "{}")
    assert {item["status"] for item in response["output"]} == {"completed"}
    assert len({item["id"] for item in response["output"]}) == 4
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == response["output"]


def test_usage_is_what_the_engine_counted_at_the_end() -> None:
    events, _ = relay(chat(*EVERYTHING), [])
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 18,
    }
    assert {e["response"]["usage"] for e in events[:2]} == {None}


def test_calls_may_take_turns() -> None:
    deltas = [
        call(0, name="f", arguments="{"),
        call(1, name="g", arguments="["),
        call(0, arguments="}"),
        call(1, arguments="]"),
    ]
    events, _ = relay(chat(*deltas), [])
    assert [item["arguments"] for item in events[-1]["response"]["output"]] == ["{}", "[]"]


def test_blanks_between_calls_are_no_message() -> None:
    deltas = [call(0, name="f"), {"content": "\n"}, call(1, name="g"), {"content": " So"}]
    output = relay(chat(*deltas), [])[0][-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "function_call", "message"]
    assert output[2]["content"][0]["text"] == " So"


def test_a_call_that_is_cut_off_is_incomplete() -> None:
    deltas = [{"content": "I"}, call(0, name="f", arguments="{}"), call(1, name="g", arguments="{")]
    response = relay(chat(*deltas, finish="length"), [])[0][-1]["response"]
    assert (response["status"], response["completed_at"]) == ("incomplete", None)
    statuses = [item["status"] for item in response["output"]]
    assert statuses == ["completed", "completed", "incomplete"]


def test_an_answer_of_no_words_is_an_empty_message() -> None:
    events, _ = relay(chat({"content": ""}), [])
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert "response.output_text.delta" not in [event["type"] for event in events]


def test_a_stream_that_is_cut_holds_the_count_so_far() -> None:
    data = chat(*EVERYTHING, done=False)
    for events in range(1, 10):
        end = [i for i in range(len(data)) if data.startswith(b"\n\n", i)][events] + 2
        _, stream = relay(data[:end], [])
        assert stream.usage == Usage(9, 0, events)
        assert not stream.is_done


def test_an_error_of_the_engine_breaks_the_stream_and_its_words_stay_inside() -> None:
    data = chat({"content": "I"}, done=False)
    data += b'data: {"error":{"message":"EngineCore died at /opt/x.py"}}\n\ndata: [DONE]\n\n'
    events, stream = relay(data, [])
    assert stream.is_broken
    assert not stream.is_done
    assert "EngineCore" not in json.dumps(events)
    assert joined(events, "output_text", 0) == "I"


@pytest.mark.parametrize("junk", [b'{"id": not json', b'{"choices":7}', b'"\xff"', b"[]"])
def test_an_event_that_cannot_be_read_breaks_the_stream(junk: bytes) -> None:
    data = chat({"content": "I"}, done=False) + b"data: " + junk + b"\n\ndata: [DONE]\n\n"
    _, stream = relay(data, [])
    assert stream.is_broken
    assert not stream.is_done


def test_a_stream_that_breaks_off_fails_the_response() -> None:
    events, stream = relay(chat({"content": "I"}, done=False), [])
    failed, error = parsed(stream.failed(UpstreamError()))
    assert failed["type"] == "response.failed"
    assert failed["response"]["id"] == events[0]["response"]["id"]
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": UpstreamError.message}
    assert (error["type"], error["code"]) == ("error", "upstream_error")
    assert error["error"]["message"] == error["message"] == UpstreamError.message
    numbers = [event["sequence_number"] for event in [*events, failed, error]]
    assert numbers == list(range(len(numbers)))


# --- Whole answers -----------------------------------------------------------------------------


def whole(message: Json, finish: str = "stop", logprobs: Any = None, **fields: Any) -> Json:
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
    data = json.dumps({"choices": [choice], "usage": usage_of(9, 2)}).encode()
    answer = answer_read(data)
    assert answer
    response = response_whole(answer, Usage(9, 4, 9), body(**fields), PUBLIC)
    document: Json = json.loads(msgspec.json.encode(response))
    Response.model_validate(document)
    return document


CALLS = [
    {"id": "call-0", "function": {"name": "weather", "arguments": '{"city":"Luleå"}'}},
    {"id": "call-1", "function": {"name": "time", "arguments": "{}"}},
]


def test_a_whole_answer_is_the_response_that_the_stream_ends_with() -> None:
    message = {"content": "I call", "reasoning": "Let me think: ü.", "tool_calls": CALLS}
    answered = whole(message, "tool_calls")
    streamed, _ = relay(chat(*EVERYTHING, finish="tool_calls"), [])
    first = {"response": answered}
    last = {"response": streamed[-1]["response"]}
    assert without_ids([first]) == without_ids([last])


def test_what_was_asked_stands_in_the_answer() -> None:
    tool = {
        "type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True,
        "description": "Does f",
    }  # fmt: skip
    asked: Json = {
        "instructions": "Be brief.", "max_output_tokens": 7, "max_tool_calls": 2,
        "temperature": 0.5, "top_p": 0.9, "metadata": {"a": "b"}, "user": "u",
        "safety_identifier": "s", "prompt_cache_key": "k", "tools": [tool],
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": None}, "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"},
                            "description": None, "strict": True}, "verbosity": "low"},
    }  # fmt: skip
    response = whole({"content": "Hi"}, **asked)
    assert {name: response[name] for name in asked} == asked


def test_what_has_no_effect_is_not_claimed() -> None:
    response = whole({"content": "Hi"}, store=True, truncation="auto", service_tier="flex")
    assert response["store"] is False
    assert (response["truncation"], response["service_tier"]) == ("disabled", "default")


def test_what_was_not_asked_has_the_defaults_of_openai() -> None:
    response = whole({"content": "Hi"})
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert (response["tool_choice"], response["tools"]) == ("auto", [])
    assert response["parallel_tool_calls"] is True
    assert response["metadata"] == {}
    assert response["error"] is response["incomplete_details"] is None
    assert response["completed_at"] >= response["created_at"]


def test_a_thought_that_used_up_all_tokens_is_all_there_is() -> None:
    response = whole({"content": None, "reasoning_content": "Hm"}, "length")
    (item,) = response["output"]
    assert (item["type"], item["status"]) == ("reasoning", "incomplete")


@pytest.mark.parametrize("junk", [b"", b"{}", b'{"choices":[]}', b'{"choices":[{}]}', b"\xff"])
def test_what_is_no_answer_is_none(junk: bytes) -> None:
    assert answer_read(junk) is None


# --- Logprobs ----------------------------------------------------------------------------------


def test_logprobs_are_those_of_the_text_alone() -> None:
    """Not of the reasoning before it, nor of the end after it; an emoji is two tokens."""
    smile = "🙂".encode()
    pieces = [
        token("Hm"), token("</think>"), token("Hi"), {**token("?"), "bytes": list(smile[:2])},
        {**token("?"), "bytes": list(smile[2:])}, token("<|end|>"),
    ]  # fmt: skip
    deltas = [{"reasoning": "Hm"}, {}, {"content": "Hi"}, {}, {"content": "🙂"}, {}]
    message = {"content": "Hi🙂", "reasoning": "Hm"}
    answered = whole(message, "stop", {"content": pieces}, **LOGPROBS)
    part = answered["output"][1]["content"][0]
    assert [p["token"] for p in part["logprobs"]] == ["Hi", "?", "?"]
    assert part["logprobs"][0] == token("Hi")
    events, _ = relay(chat(*deltas, logprobs=pieces), [], **LOGPROBS)
    assert events[-1]["response"]["output"][1]["content"][0] == part
    deltas_seen = [e for e in events if e["type"] == "response.output_text.delta"]
    assert [len(event["logprobs"]) for event in deltas_seen] == [1, 2]


def test_without_being_asked_there_are_no_logprobs() -> None:
    assert whole({"content": "Hi"})["output"][0]["content"][0]["logprobs"] == []
