"""More of everything than a request may hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tests.inference.gateway.hostile.case import Case, post_json
from tests.inference.gateway.hostile.good import BODIES

type Json = dict[str, Any]

_ABSURD: Final[dict[str, dict[str, list[Any]]]] = {
    "chat/completions": {
        "n": [0, -1, 9, 10_000, 10**12, 1e3, "8"],
        "max_tokens": [0, -1, 2**31, 10**30, 1e9],
        "max_completion_tokens": [0, -1, 2**31, 10**30],
        "top_logprobs": [-1, 21, 10**9],
        "temperature": [-0.1, 2.1, 10**30],
        "stop": [["a"] * 5, ["a"] * 10_000, [["a"]]],
        "logit_bias": [{"x": 1}, {"-1": 1}, {"1.5": 1}, {"9" * 11: 1}, {"1": 1000}, {"": 1}],
        "seed": [2**63, -(2**63) - 1],
        "messages": [[], [{}], [{"role": "root", "content": "x"}], [{"role": "user"}]],
    },
    "completions": {
        "n": [0, 9, 10_000],
        "max_tokens": [0, -1, 2**31],
        "logprobs": [-1, 6, 10**9],
        "prompt": [[], [[-1]], [2**31], [[1], 10**30]],
        "stop": [["a"] * 5],
    },
    "responses": {
        "max_output_tokens": [0, -1, 2**31],
        "top_logprobs": [21],
        "input": [[], [{}]],
        "previous_response_id": ["resp_1"],
        "conversation": ["conv_1", {"id": "conv_1"}],
        "prompt": [{"id": "pmpt_1"}],
        "background": [True],
        "metadata": [{str(i): "x" for i in range(17)}, {"x" * 65: "x"}, {"x": "x" * 513}],
        "tools": [[{"type": kind}] for kind in ("web_search", "mcp", "code_interpreter", "")],
    },
    "messages": {
        "max_tokens": [0, -1, 2**31],
        "messages": [[], [{}], [{"role": "root", "content": "x"}]],
        "temperature": [-0.1, 1.1],
    },
    "embeddings": {
        "input": ["", [], [""], [[]], ["a"] * 2049, ["a", 1], [[1], "a"], [[[1]]]],
        "dimensions": [0, -1, 10**9],
        "encoding_format": ["hex", ""],
    },
    "rerank": {
        "documents": [[], [""], ["a"] * 1001, [[]]],
        "query": ["", []],
        "top_n": [0, -1, 10**9],
    },
    "score": {"text_1": ["", [], ["a", "b"], ["a"] * 1001], "text_2": ["", [], ["a"] * 1001]},
}


def _deep(levels: int) -> Json:
    schema: Json = {"type": "object"}
    for _ in range(levels):
        schema = {"properties": schema}
    return schema


_SCHEMAS: Final[dict[str, Any]] = {
    "33 levels": _deep(32),
    "50 levels": _deep(49),
    "66 kB": {"description": "x" * 66_000},
    "5,000 properties": {"properties": {f"property_{i}": {} for i in range(5000)}},
    "a list": [],
    "a string": "{}",
}


def _tool(schema: Any) -> Json:
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


def _flat_tool(schema: Any) -> Json:
    return {"type": "function", "name": "f", "parameters": schema}


def _format(schema: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}


def cases() -> Iterator[Case]:
    for path, fields in _ABSURD.items():
        for name, values in fields.items():
            for number, value in enumerate(values):
                body = BODIES[path] | {name: value}
                yield post_json(f"{path}: absurd {name} {number}", f"/v1/{path}", body)
    for name, schema in _SCHEMAS.items():
        yield from _schema(name, schema)
    for path, tool in (
        ("chat/completions", _tool({})),
        ("responses", _flat_tool({})),
        ("messages", {"name": "f", "input_schema": {"type": "object"}}),
    ):
        yield _with("129 tools", path, tools=[tool] * 129)
        for name in ("", "a b", "x" * 129, "a\nb", "\N{SNOWMAN}", "../x"):
            named = tool | {"name": name} if "name" in tool else _named(name)
            yield _with(f"a tool named {name[:10]!r}", path, tools=[named])


def _named(name: str) -> Json:
    return {"type": "function", "function": {"name": name}}


def _schema(name: str, schema: Any) -> Iterator[Case]:
    yield _with(f"a tool of {name}", "chat/completions", tools=[_tool(schema)])
    yield _with(f"a format of {name}", "chat/completions", response_format=_format(schema))
    yield _with(f"a tool of {name}", "responses", tools=[_flat_tool(schema)])
    text = {"format": {"type": "json_schema", "name": "s", "schema": schema}}
    yield _with(f"a format of {name}", "responses", text=text)
    yield _with(f"a tool of {name}", "messages", tools=[{"name": "f", "input_schema": schema}])


def _with(name: str, path: str, **fields: Any) -> Case:
    return post_json(f"{path}: {name}", f"/v1/{path}", BODIES[path] | fields)
