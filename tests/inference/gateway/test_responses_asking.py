"""What a request for a response may say, and the chat that is asked of an engine for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from typing import Any

import msgspec
import pytest

from inference.gateway.bodies import body_decoder
from inference.gateway.errors import InvalidRequest
from inference.gateway.responses.asking import chat_of
from inference.gateway.responses.bodies import ResponsesBody

read = body_decoder(ResponsesBody)

IMAGE = "data:image/png;base64,AA=="
FUNCTION: dict[str, Any] = {
    "type": "function", "name": "weather", "description": "Of a city", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}  # fmt: skip
TIME: dict[str, Any] = {"type": "function", "name": "time", "parameters": None, "strict": None}
DEEP: dict[str, Any] = reduce(lambda inner, _: {"items": inner}, range(40), {})


def asked(**fields: Any) -> dict[str, Any]:
    """The chat for a request with these fields, as the engine gets it."""
    body = read(json.dumps({"model": "m", "input": "Hi", **fields}).encode())
    chat: dict[str, Any] = json.loads(msgspec.json.encode(chat_of(body)))
    return chat


def messages(*items: Any, **fields: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(input=items, **fields)["messages"]
    return found


def refusal(**fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(json.dumps({"model": "m", "input": "Hi", **fields}).encode())
    return caught.value


def test_a_text_is_a_message_of_the_user_after_the_instructions() -> None:
    assert asked() == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    assert asked(instructions="Be brief.")["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_messages_of_all_roles_pass_with_texts_and_images() -> None:
    assert messages(
        {"role": "developer", "content": "Use tools."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": IMAGE, "detail": "original"},
            {"type": "input_image", "image_url": IMAGE},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
    ) == [
        {"role": "developer", "content": "Use tools."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": IMAGE, "detail": "high"}},
            {"type": "image_url", "image_url": {"url": IMAGE}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
    ]  # fmt: skip


def test_an_earlier_answer_is_one_message_of_the_assistant() -> None:
    """Reasoning, text and calls are items of their own here, and one message in a chat."""
    assert messages(
        {"role": "user", "content": "Weather and time?"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [
            {"type": "reasoning_text", "text": "Two calls."},
        ]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Let me ", "annotations": [], "logprobs": []},
            {"type": "output_text", "text": "see.", "annotations": []},
        ]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather",
         "arguments": "{}", "status": "completed"},
        {"type": "function_call", "call_id": "c2", "name": "time", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": "Rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "Noon"},
        ]},
        {"type": "function_call", "call_id": "c3", "name": "time", "arguments": "{}"},
    ) == [
        {"role": "user", "content": "Weather and time?"},
        {"role": "assistant", "content": "Let me see.", "reasoning": "Two calls.", "tool_calls": [
            {"type": "function", "id": "c1", "function": {"name": "weather", "arguments": "{}"}},
            {"type": "function", "id": "c2", "function": {"name": "time", "arguments": ""}},
        ]},
        {"role": "tool", "content": "Rain", "tool_call_id": "c1"},
        {"role": "tool", "content": [{"type": "text", "text": "Noon"}], "tool_call_id": "c2"},
        {"role": "assistant", "tool_calls": [
            {"type": "function", "id": "c3", "function": {"name": "time", "arguments": "{}"}},
        ]},
    ]  # fmt: skip


def test_what_the_assistant_said_twice_stays_two_messages() -> None:
    said = {"type": "message", "role": "assistant"}
    assert messages(
        {**said, "content": "One."},
        {**said, "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {**said, "content": "Three."},
    ) == [
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": "Three.", "reasoning": "Hm."},
    ]


def test_sampling_and_limits_pass_by_their_names_in_a_chat() -> None:
    chat = asked(
        max_output_tokens=7, temperature=0.5, top_p=0.9, seed=1, stop=["x"], stream=True,
        parallel_tool_calls=False, tools=[FUNCTION], reasoning={"effort": "max", "summary": "auto"},
    )  # fmt: skip
    del chat["messages"], chat["tools"]
    assert chat == {
        "model": "m", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["x"],
        "stream": True, "parallel_tool_calls": False, "reasoning_effort": "max",
    }  # fmt: skip


def test_what_has_no_effect_is_taken_and_not_passed() -> None:
    chat = asked(
        store=True, metadata={"a": "b"}, user="u", safety_identifier="s", prompt_cache_key="k",
        service_tier="flex", truncation="auto", max_tool_calls=3, background=False, prompt=None,
        conversation=None, previous_response_id=None, stream_options={"include_obfuscation": False},
        include=["reasoning.encrypted_content"], text={"verbosity": "low"}, top_logprobs=3,
        prompt_cache_retention="24h", context_management=[{"type": "compaction"}], unheard_of=1,
    )  # fmt: skip
    assert chat.keys() == {"model", "messages"}


def test_logprobs_are_asked_for_when_they_are_included() -> None:
    chat = asked(include=["message.output_text.logprobs"], top_logprobs=3)
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "text"}, {"type": "text"}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
        ),
    ],
)
def test_formats_pass_in_the_shape_of_a_chat(given: Any, expected: Any) -> None:
    assert asked(text={"format": given})["response_format"] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        (
            {"type": "function", "name": "weather"},
            {"type": "function", "function": {"name": "weather"}},
        ),
    ],
)
def test_tools_and_their_choice_pass_in_the_shape_of_a_chat(given: Any, expected: Any) -> None:
    chat = asked(tools=[FUNCTION, TIME], tool_choice=given)
    assert chat["tool_choice"] == expected
    assert chat["tools"] == [
        {"type": "function", "function": {k: v for k, v in FUNCTION.items() if k != "type"}},
        {"type": "function", "function": {"name": "time"}},
    ]


def test_only_the_allowed_tools_are_offered() -> None:
    allowed = [{"type": "function", "name": "time"}]
    choice = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    chat = asked(tools=[FUNCTION, TIME], tool_choice=choice)
    assert [tool["function"]["name"] for tool in chat["tools"]] == ["time"]
    assert chat["tool_choice"] == "required"
    none = asked(tools=[TIME], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": []})
    assert not {"tools", "tool_choice"} & none.keys()


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "earlier items in `input`"),
        ({"conversation": "conv_1"}, "conversation", "earlier items in `input`"),
        ({"conversation": {"id": "conv_1"}}, "conversation", "nothing is stored"),
        ({"prompt": {"id": "p"}, "input": None}, "prompt", "`instructions`"),
        ({"background": True}, "background", "stream it"),
        ({"input": None}, "input", "missing"),
        ({"input": []}, "input", "length >= 1"),
        ({"input": 7}, "input", "a string"),
        ({"input": ["Hi"]}, "input[0]", "an object"),
        ({"input": [{"id": "msg_1"}]}, "input[0]", "Nothing is stored"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "Send the item itself"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0]", "`web_search_call`"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0]", "`call_id`"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0]", "`output`"),
        ({"input": [{"role": "user"}]}, "input[0]", "`content`"),
        ({"input": [{"content": "Hi"}]}, "input[0]", "`role`"),
        ({"input": [{"role": "owner", "content": "Hi"}]}, "input[0].role", "'owner'"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "`web_search`"),
        ({"tools": [FUNCTION, {"type": "mcp", "server_label": "s"}]}, "tools[1]", "`mcp`"),
        ({"tools": [{"type": "custom", "name": "c"}]}, "tools[0]", "`custom`"),
        ({"tools": [{"type": "function"}]}, "tools[0]", "`name`"),
        ({"tools": [TIME], "tool_choice": {"type": "image_generation"}}, "tool_choice", "`image_g"),
        ({"tools": [TIME], "tool_choice": {"type": "function"}}, "tool_choice", "`name`"),
        ({"tools": [TIME], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "`mode`"),
        ({"tools": [TIME], "tool_choice": {"type": "function", "name": "f"}}, "tool_choice", "`f`"),
        ({"tool_choice": "required"}, "tool_choice", "`tools` does not have"),
        ({"tool_choice": "sometimes"}, "tool_choice", "'sometimes'"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "Send"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "'xml'"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": DEEP}}}, "text.format",
         "deeper than 32"),
        ({"tools": [{**FUNCTION, "parameters": DEEP}]}, "tools[0]", "deeper than 32"),
        ({"max_output_tokens": 0}, "max_output_tokens", ">= 1"),
        ({"temperature": "hot"}, "temperature", "a number"),
        ({"reasoning": {"effort": "utmost"}}, "reasoning.effort", "'utmost'"),
        ({"stream": "yes"}, "stream", "true or false"),
        ({"metadata": {"a": 1}}, "metadata[...]", "a string"),
        ({"cache_salt": "x"}, "cache_salt", "cannot be set"),
        ({"priority": 1}, "priority", "cannot be set"),
        ({"request_id": "x"}, "request_id", "cannot be set"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_name(
    fields: dict[str, Any], param: str, words: str
) -> None:
    error = refusal(**fields)
    assert (error.status, error.param) == (400, param)
    assert words in error.message


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "input_image", "image_url": "https://example.org/a.png"}, "`data:` URL"),
        ({"type": "input_image", "file_id": "file-1"}, "Send the image itself"),
        ({"type": "input_file", "file_id": "file-1"}, "Files are not read"),
        ({"type": "input_file", "filename": "a.pdf", "file_data": IMAGE}, "as images"),
        ({"type": "hologram"}, "'hologram'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_place(part: Any, words: str) -> None:
    text = {"type": "input_text", "text": "See:"}
    error = refusal(input=[{"role": "user", "content": [text, part]}])
    assert error.param
    assert error.param.startswith("input[0].content[1]")
    assert words in error.message


EVERYTHING: dict[str, Any] = {
    "model": "m", "instructions": "i", "stream": True, "max_output_tokens": 3, "temperature": 1,
    "stream_options": {"include_obfuscation": True}, "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
    "include": ["message.output_text.logprobs"], "top_logprobs": 1, "tools": [FUNCTION],
    "tool_choice": {
        "type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}],
    },
    "metadata": {"a": "b"}, "logit_bias": {"1": 1}, "stop": ["a"],
    "chat_template_kwargs": {"thinking": True},
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": IMAGE},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
        {"type": "reasoning", "id": "r", "content": [{"type": "reasoning_text", "text": "t"}],
         "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "t"}, {"type": "refusal", "refusal": "r"},
        ]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c",
         "output": [{"type": "input_text", "text": "x"}]},
    ],
}  # fmt: skip
JUNK: list[Any] = [
    None, True, 0, -1, 10**40, 1.5, "", "x", [], [[]], {}, {"a": 1}, [None], {"type": "function"},
]  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value within `node`."""
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_junk_at_any_place_is_refused_or_taken_and_breaks_nothing(junk: Any) -> None:
    for *path, last in places(EVERYTHING):
        body = copy.deepcopy(EVERYTHING)
        reduce(lambda node, key: node[key], path, body)[last] = junk
        with suppress(InvalidRequest):
            assert chat_of(read(json.dumps(body).encode())).messages
