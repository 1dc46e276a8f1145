"""What a request may say, at the edges that a whole gateway need not be started for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.gateway.bodies import (
    MAX_DEPTH,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
    ChatBody,
    CompletionBody,
    body_decoder,
    check_depth,
)
from inference.gateway.errors import InvalidRequest

read_chat = body_decoder(ChatBody)
read_completion = body_decoder(CompletionBody)

CHAT: Final[dict[str, Any]] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

trees = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=200,
)


def depth_of(tree: Any) -> int:
    if isinstance(tree, dict):
        tree = list(tree.values())
    return 1 + max(map(depth_of, tree), default=0) if isinstance(tree, list) else 0


def is_refused(data: bytes) -> bool:
    try:
        check_depth(data)
    except InvalidRequest:
        return True
    return False


@given(tree=trees, levels=st.integers(0, 80), wide=st.booleans())
def test_depth_is_measured_and_brackets_in_strings_are_not(
    tree: Any, levels: int, wide: bool
) -> None:
    for level in range(levels):
        tree = [tree] if level % 2 else {'a"[{\\': tree}
    if wide:
        tree = [tree, *([[]] * 100)]
    assert is_refused(json.dumps(tree).encode()) == (depth_of(tree) > MAX_DEPTH)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 4_000_000,
        b'["' * 2_000_000,
        b'"\\' * 2_000_000,
        b"[" * 2_000_000 + b"]" * 2_000_000,
        b"[" + b"[[]" * 1_300_000,
    ],
)
def test_hostile_bodies_are_measured_quickly(data: bytes) -> None:
    started = time.process_time()
    is_refused(data)
    assert time.process_time() - started < 2


def test_a_full_chat_passes_as_it_came() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Use tools."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"type": "function", "id": "c1", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "f", "parameters": {"properties": {"big": {"maximum": 10**30}}},
        }}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "s", "schema": {"type": "object"}, "strict": True,
        }},
        "reasoning_effort": "low",
        "chat_template_kwargs": {"enable_thinking": False},
        "stop": ["a", "b"],
        "seed": 7,
        "logit_bias": {"5": -100.0},
    }  # fmt: skip
    again = json.loads(msgspec.json.encode(read_chat(json.dumps(body).encode())))
    assert again == body


def test_nulls_and_unknown_fields_are_left_out() -> None:
    body = read_chat(
        b'{"model":"m","messages":[{"role":"user","content":"x","x":1}],"temperature":null,'
        b'"new":{"a":1},"chat_template_kwargs":{"chat_template":"{{ x }}"}}'
    )
    assert json.loads(msgspec.json.encode(body)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "chat_template_kwargs": {},
    }


@pytest.mark.parametrize(
    ("prompt", "choices"),
    [("x", 2), (["x", "y", "z"], 6), ([1, 2, 3], 2), ([[1], [2]], 4)],
)
def test_every_prompt_makes_its_own_choices(prompt: Any, choices: int) -> None:
    body = read_completion(json.dumps({"model": "m", "prompt": prompt, "n": 2}).encode())
    assert body.choices == choices


@pytest.mark.parametrize("prompt", [None, [], [1.5], {}, [[1, "x"]]])
def test_a_prompt_of_a_wrong_type_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_completion(json.dumps({"model": "m", "prompt": prompt}).encode())
    assert (caught.value.param or "").startswith("prompt")


def test_a_schema_may_be_so_deep_and_so_large() -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_SCHEMA_DEPTH - 1):
        deep = {"properties": deep}
    large = {"description": "[" * (MAX_SCHEMA_BYTES - len('{"description":""}'))}
    for schema, words in ((deep, "deeper than 32 levels"), (large, "larger than 65,536 bytes")):
        wraps: dict[str, Callable[[Any], Any]] = {
            "tools[0].function": lambda schema: {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]
            },
            "response_format.json_schema": lambda schema: {
                "response_format": {
                    "type": "json_schema", "json_schema": {"name": "s", "schema": schema}
                }
            },
        }  # fmt: skip
        for param, wrap in wraps.items():
            read_chat(json.dumps(CHAT | wrap(schema)).encode())
            with pytest.raises(InvalidRequest) as caught:
                read_chat(json.dumps(CHAT | wrap({"items": schema})).encode())
            assert words in caught.value.message
            assert caught.value.param == param


def test_messages_say_what_to_send() -> None:
    for field, words in (
        ({"max_tokens": "5"}, "`max_tokens` must be an integer, not a string."),
        ({"n": 9}, "`n` must be an integer <= 8."),
        ({"stream": 1}, "`stream` must be true or false, not an integer."),
        ({"stop": 1}, "`stop` must be a string or a list, not an integer."),
        ({"model": None}, "`model` must be a string, not null."),
        (
            {"tools": [{"type": "function", "function": {"name": "f\n"}}]},
            "`tools[0].function.name` must be a string matching regex '^[A-Za-z0-9_.-]{1,64}$'.",
        ),
    ):
        with pytest.raises(InvalidRequest) as caught:
            read_chat(json.dumps(CHAT | field).encode())
        assert caught.value.message == words
