"""What the engines say, as it was recorded from real ones."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from inference.engines import ENGINES, Usage, error_read
from inference.models import Engine
from tests import fake_vllm

RECORDED = Path(fake_vllm.__file__).parent / "recorded"
VLLM, LLAMACPP = ENGINES["vllm"], ENGINES["llamacpp"]


def test_every_engine_of_the_table_is_described() -> None:
    assert set(ENGINES) == set(Engine)


def test_usage_of_recorded_answers() -> None:
    answers = (RECORDED / "chat_nonstream.txt").read_bytes().splitlines()
    found = [VLLM.usage_read(line) for line in answers if line.startswith(b"{")]
    assert found == [Usage(432, 0, 8), Usage(432, 384, 8)]


def test_usage_of_llamacpp_includes_its_cache() -> None:
    usage = b'{"usage":{"completion_tokens":3,"prompt_tokens":25,"prompt_tokens_details":'
    assert LLAMACPP.usage_read(usage + b'{"cached_tokens":20}}}') == Usage(25, 20, 3)
    timings = b'{"timings":{"cache_n":20,"prompt_n":5,"predicted_n":1,"prompt_ms":35.4}}'
    assert LLAMACPP.usage_read(timings) == Usage(25, 20, 1)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"usage":null}', b'{"usage":{"prompt_tokens":-1}}', b"{no"]
)
def test_an_answer_without_a_count_has_no_usage(body: bytes) -> None:
    assert VLLM.usage_read(body) is None
    assert LLAMACPP.usage_read(body) is None


def test_more_cached_than_input_is_never_believed() -> None:
    body = b'{"usage":{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":9}}}'
    assert VLLM.usage_read(body) == Usage(5, 5, 0)


def recorded_errors() -> dict[str, bytes]:
    """By the name of the case in the recording."""
    lines = (RECORDED / "shapes.txt").read_bytes().splitlines()
    return {
        name.removeprefix(b"## ").decode(): body
        for name, body in pairwise(lines)
        if name.startswith(b"## ") and body.startswith(b'{"error":{')
    }


def test_the_customers_faults_are_a_list_and_all_else_is_ours() -> None:
    codes = {
        name: fault.code if (fault := VLLM.fault_read(error_read(body))) else "ours"
        for name, body in recorded_errors().items()
    }
    assert codes["too-long"] == codes["too-long-stream"] == "context_length_exceeded"
    assert codes["max_tokens-too-large"] == "context_length_exceeded"
    assert codes["tools-auto"] == "unsupported_parameter"
    assert codes["image-on-text"] == "unsupported_content"
    assert codes["neg-temp"] is None
    ours = {"unknown-model", "bad-json", "missing-field", "wrong-ctype"}
    assert {codes[name] for name in ours} == {"ours"}


@pytest.mark.parametrize(
    ("message", "param", "blamed"),
    [
        ("Token id 99999 is out of vocabulary", None, "prompt"),
        ("The decoder prompt cannot be empty", None, "prompt"),
        ("Either prompt or prompt_embeds must be provided", "prompt", "prompt"),
        ("stop cannot contain an empty string.", None, "stop"),
        ("2 validation errors: List should have at most 4 items", "body.stop", "stop"),
        ("n must be 1 when using greedy sampling, got 2.", None, "n"),
        ("suffix is only supported for models with FIM completion rendering", "suffix", "suffix"),
        ('tool_choice="required" requires --tool-call-parser to be set', None, "tools"),
        ("When using `tool_choice`, `tools` must be set.", "tool_choice", "tool_choice"),
        ("You must use one kind of structured outputs constraint", None, "response_format"),
    ],
)
def test_what_vllm_refuses_names_the_field(message: str, param: str | None, blamed: str) -> None:
    error = {"message": message, "type": "BadRequestError", "param": param, "code": 400}
    fault = VLLM.fault_read(error_read(json.dumps({"error": error}).encode()))
    assert fault
    assert fault.param == blamed


def test_a_prompt_too_long_for_llamacpp() -> None:
    body = {"code": 400, "message": "…", "type": "exceed_context_size_error", "n_ctx": 2048}
    fault = LLAMACPP.fault_read(error_read(json.dumps({"error": body}).encode()))
    assert fault
    assert fault.code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b'{"error":"Unauthorized"}', b'{"detail":"Not Found"}'])
def test_an_error_in_another_shape_is_ours(body: bytes) -> None:
    assert VLLM.fault_read(error_read(body)) is None
