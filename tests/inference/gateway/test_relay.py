"""The bytes of a stream: what is cut is ours, what stays is untouched, however it arrives."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engines import ENGINES, Usage
from inference.engines.base import cutter
from inference.gateway.relay import EventFilter, rename_model
from tests import fake_vllm

RECORDED = Path(fake_vllm.__file__).parent / "recorded" / "chat_stream.txt"
ENGINE_NAME = "tiny-llama"
PUBLIC_NAME = "acme/tiny"

texts = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from([
            ',"usage":{"prompt_tokens":1}', '"choices":[]', "data: [DONE]\n\n", "\n\n",
            'data: {"error":{}}', '"model":"tiny-llama"', '{"usage":{', ',"timings":{}', "\\", '"',
        ]),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip
cuts = st.lists(st.integers(0, 4000), max_size=12)


def dump(document: Any, *, ascii_only: bool = False) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=ascii_only)
    return f"data: {text}\n\n".encode(errors="replace")


def usage_of(tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": 9,
        "total_tokens": 9 + tokens,
        "completion_tokens": tokens,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def vllm_stream(contents: list[str], *, ascii_only: bool = False) -> bytes:
    """A stream as vLLM writes it, each event with a count."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": ENGINE_NAME}
    events = [
        dump(
            {**head, "choices": [{"index": 0, "delta": {"content": text}}], "usage": usage_of(n)},
            ascii_only=ascii_only,
        )
        for n, text in enumerate(contents, start=1)
    ]
    last = {**head, "choices": [], "usage": usage_of(len(contents)), "system_fingerprint": "v"}
    return b"".join([*events, dump(last), b"data: [DONE]\n\n"])


class Out(NamedTuple):
    data: bytes
    filter: EventFilter

    def documents(self) -> list[dict[str, Any]]:
        events = [event for event in self.data.split(b"\n\n") if event]
        assert events[-1] == b"data: [DONE]"
        return [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]


def relay(data: bytes, *, wants_usage: bool, at: list[int], engine: str = "vllm") -> Out:
    """What a client gets of `data` when it arrives in pieces, cut `at`."""
    events = EventFilter(ENGINES[engine], PUBLIC_NAME, wants_usage=wants_usage)
    edges = sorted({0, len(data), *(cut for cut in at if cut < len(data))})
    return Out(b"".join(events.feed(data[a:b]) for a, b in pairwise(edges)), events)


def expected(data: bytes, *, wants_usage: bool) -> list[dict[str, Any]]:
    """The same, by parsing every event."""
    events = [event for event in data.split(b"\n\n") if event][:-1]
    documents = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for document in documents[:-1]:
        del document["usage"]
    renamed = [document | {"model": PUBLIC_NAME} for document in documents]
    return renamed if wants_usage else renamed[:-1]


@given(contents=texts, at=cuts, wants_usage=st.booleans(), ascii_only=st.booleans())
def test_content_survives_whatever_it_says_and_however_it_arrives(
    contents: list[str], at: list[int], wants_usage: bool, ascii_only: bool
) -> None:
    data = vllm_stream(contents, ascii_only=ascii_only)
    out = relay(data, wants_usage=wants_usage, at=at)
    assert out.documents() == expected(data, wants_usage=wants_usage)
    assert out.filter.is_done
    assert not out.filter.is_broken
    assert out.filter.usage == Usage(9, 2, len(contents))


@given(contents=texts, end=st.integers(0, 4000))
def test_a_cut_stream_counts_what_the_engine_last_said(contents: list[str], end: int) -> None:
    data = vllm_stream(contents)[:end]
    whole_events = data.count(b'"usage":{"prompt_tokens":9', 0, data.rfind(b"\n\n") + 1)
    out = relay(data, wants_usage=False, at=[])
    assert out.filter.usage.output_tokens == min(whole_events, len(contents))


cut_usage_and_timings = cutter(b"usage", b"timings")
OBJECTS = re.compile(rb',"(?:usage|timings)":\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}')


@given(
    st.lists(
        st.sampled_from(
            [b',"usage":{', b',"timings":{', b"{", b"}", b'"n":1', b'"', b"\n\n", b',"usage":null']
        ),
        max_size=20,
    )
)
def test_whole_objects_are_cut_and_nothing_else(pieces: list[bytes]) -> None:
    block = b"".join(pieces)
    assert cut_usage_and_timings(block) == OBJECTS.sub(b"", block)


def choice_of_vllm(index: int, prompt_tokens: int, tokens: int) -> bytes:
    """A count as vLLM runs it: of this choice and its prompt alone."""
    usage = usage_of(tokens) | {"prompt_tokens": prompt_tokens}
    usage["prompt_tokens_details"] = None
    return dump({"choices": [{"index": index, "text": '"choices":[]'}], "usage": usage})


def counted(data: bytes, *, choices: int, n: int) -> Usage:
    """The usage of a stream that came in pieces."""
    events = EventFilter(ENGINES["vllm"], PUBLIC_NAME, wants_usage=False, choices=choices, n=n)
    for start in range(0, len(data), 150):
        events.feed(data[start : start + 150])
    return events.usage


def test_a_cut_stream_counts_all_choices_and_each_prompt_once() -> None:
    data = b"".join(choice_of_vllm(index, 9, tokens) for tokens in (1, 2) for index in (0, 1))
    assert counted(data + choice_of_vllm(0, 9, 3), choices=2, n=2) == Usage(9, 0, 5)
    prompts = b"".join(choice_of_vllm(index, 4 + index // 2, 3) for index in range(4))
    assert counted(prompts, choices=4, n=2) == Usage(4 + 5, 0, 12)


def test_the_engines_own_sum_of_all_choices_is_the_last_word() -> None:
    data = b"".join(choice_of_vllm(index, 9, 7) for index in range(2))
    data += dump({"choices": [], "usage": usage_of(14)})
    assert counted(data, choices=2, n=2) == Usage(9, 2, 14)


def test_a_recorded_stream_of_vllm() -> None:
    data = RECORDED.read_bytes()
    data = data[data.index(b"data: ") :].rstrip() + b"\n\n"
    out = relay(data, wants_usage=False, at=list(range(0, 2000, 7)))
    assert b"usage" not in out.data
    assert out.filter.usage == Usage(12, 0, 4)
    assert [d["choices"][0]["delta"]["content"] for d in out.documents()] == [
        "", "ng", " found", " but", " U",
    ]  # fmt: skip


LLAMA_CHUNK = (
    b'data: {"choices":[{"text":" guys","index":0,"finish_reason":"length"}],"created":1,'
    b'"model":"/models/secret.gguf","object":"text_completion","usage":{"completion_tokens":3,'
    b'"prompt_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":1}},'
    b'"id":"cmpl-1","timings":{"cache_n":1,"prompt_n":1,"predicted_n":3,"predicted_ms":22.485}}\n\n'
)


def test_usage_that_rides_with_a_choice_becomes_an_event_of_its_own() -> None:
    data = LLAMA_CHUNK + b"data: [DONE]\n\n"
    text, usage = relay(data, wants_usage=True, at=[50], engine="llamacpp").documents()
    assert text.keys() == {"choices", "created", "model", "object", "id"}
    assert usage["choices"] == []
    assert (usage["id"], usage["model"], usage["object"]) == (
        "cmpl-1", PUBLIC_NAME, "text_completion",
    )  # fmt: skip
    assert usage["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1},
    }


def test_the_path_of_a_model_file_stays_inside() -> None:
    out = relay(LLAMA_CHUNK * 3, wants_usage=False, at=[], engine="llamacpp")
    assert b"secret" not in out.data
    assert rename_model(b'{"id":"x","model":"/models/secret.gguf","n":1}', "a/b") == (
        b'{"id":"x","model":"a/b","n":1}'
    )


def test_running_timings_are_a_count() -> None:
    timings = {"cache_n": 20, "prompt_n": 5, "predicted_n": 2, "predicted_ms": 21.96}
    data = dump({"choices": [{"index": 0, "delta": {"content": "x"}}], "timings": timings})
    out = relay(data, wants_usage=False, at=[], engine="llamacpp")
    assert out.filter.usage == Usage(25, 20, 2)
    assert b"timings" not in out.data


def test_an_error_within_a_stream_ends_it_and_its_words_stay_inside() -> None:
    data = vllm_stream(["one", "two"]).split(b"\n\n")[0] + b"\n\n"
    data += b'data: {"error":{"message":"EngineCore died at /opt/x.py"}}\n\ndata: [DONE]\n\n'
    out = relay(data, wants_usage=False, at=[])
    assert out.filter.is_broken
    assert not out.filter.is_done
    assert b"EngineCore" not in out.data
    assert b"one" in out.data


@pytest.mark.parametrize("wants_usage", [False, True])
def test_an_unfinished_event_waits(wants_usage: bool) -> None:
    events = EventFilter(ENGINES["vllm"], PUBLIC_NAME, wants_usage=wants_usage)
    assert events.feed(b"data: {") == b""
    assert events.feed(b'"a":1}\n') == b""
    assert events.feed(b"\nda") == b'data: {"a":1}\n\n'
