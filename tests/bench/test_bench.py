"""The bench measures what it says: the engine's answers are whole, the processes are counted."""

from __future__ import annotations

import asyncio
import os
import re
import time
from pathlib import Path
from unittest.mock import Mock, create_autospec

import msgspec
import pytest

from tests.bench import engine, procs, report
from tests.bench.measure import Figures
from tests.bench.prefix_engine import PrefixCache
from tests.bench.report import ROWS, Report
from tests.bench.streams import Stream
from tests.fake_vllm.answers import METRICS

RECORDED = METRICS.parent


def keys_of(text: str) -> set[str]:
    return set(re.findall(r'"([a-z_]+)":', text))


def test_the_fast_engine_streams_whole_chunks_in_the_recorded_shape() -> None:
    chunks = b"".join(engine.CHUNKS).split(b"\r\n")
    sizes, events = chunks[:-2:2], chunks[1:-2:2]
    assert [int(size, 16) for size in sizes] == [len(event) for event in events] + [0]
    assert len(events) == engine.EVENTS
    recorded = (RECORDED / "chat_stream.txt").read_text().partition("\n\n")[2]
    assert keys_of(b"".join(events).decode()) <= keys_of(recorded)


def test_the_fast_engine_counts_its_tokens() -> None:
    last = engine.CHUNKS[-2].partition(b"data: ")[2].partition(b"\n")[0]
    assert msgspec.json.decode(last)["usage"]["completion_tokens"] == engine.TOKENS


def test_a_paced_stream_ends_whole_after_its_time() -> None:
    chunks = list(engine.paced(20))
    assert len(chunks) == 20 / engine.STEP_S + 3
    assert b'"completion_tokens":800' in chunks[-2]
    assert b"[DONE]" in chunks[-1]


def test_the_time_and_memory_of_a_process_are_read() -> None:
    before_s, started = procs.cpu_s(os.getpid()), time.process_time()
    while time.process_time() - started < 0.1:
        pass
    assert 0.05 < procs.cpu_s(os.getpid()) - before_s < 5
    assert procs.memory_kb(os.getpid()) > 10_000


def test_a_prefix_is_cached_for_its_salt_until_others_push_it_out() -> None:
    cache, prompt = PrefixCache(100), b"x" * 6400
    assert cache.cached_tokens("a", prompt) == 0
    cache.keep("a", prompt)
    assert cache.cached_tokens("a", prompt + b"y" * 640) == 1600
    assert cache.cached_tokens("b", prompt) == cache.cached_tokens("a", b"y" + prompt) == 0
    cache.keep("b", b"z" * 64)
    assert cache.cached_tokens("a", prompt) == 0, "its first block was the oldest"


GOOD = {name: row.goal or 1.0 for name, row in ROWS.items()}


def test_a_figure_that_misses_its_goal_is_marked() -> None:
    slow = Figures("gateway", GOOD | {"streams_per_s": 1699.0, "p50_ms": 0.86})
    lines = Report(slow, []).text().splitlines()
    assert {line[:10] for line in lines if "missed" in line} == {"latency p5", "streams of"}


def test_a_peer_that_fails_has_no_figure_and_says_why() -> None:
    peer = Figures("Peer", faults=["17 of 400 paced streams began."])
    text = Report(Figures("gateway", GOOD), [peer]).text()
    assert text.count("–") == len(ROWS)
    assert text.endswith("Peer: 17 of 400 paced streams began.")


def test_a_run_replaces_the_figures_in_the_documentation_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"Before.\n{report.BEGIN}Old.\n{report.END}After.\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "RESULT", tmp_path / "run" / "bench.json")
    Report(Figures("gateway", GOOD), [Figures("nginx", GOOD)]).write(events=1234)
    Report(Figures("gateway", GOOD), [Figures("nginx", GOOD)]).write(events=5678)
    text = page.read_text()
    assert text.startswith(f"Before.\n{report.BEGIN}")
    assert text.endswith(f"{report.END}After.\n")
    assert "5,678 requests" in text
    assert "1,234" not in text
    assert "Old." not in text


def test_the_page_of_benchmarks_has_a_place_for_figures() -> None:
    before, begin, rest = report.PAGE.read_text().partition(report.BEGIN)
    assert before
    assert begin
    assert report.END in rest


@pytest.mark.parametrize("split", [1, 5, 9, 30])
async def test_a_paced_stream_that_ends_is_asked_for_again(split: int) -> None:
    stream, transport = opened()
    stream.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    last = b"".join(engine.CHUNKS)
    stream.data_received(last[:-split])
    stream.data_received(last[-split:])
    assert (stream.answers, stream.events, stream.fault) == (1, engine.EVENTS, "")
    assert transport.write.call_count == 2


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n", "was refused"),
        (b"HTTP/1.1 200 OK\r\n\r\n5\r\nerror\r\n0\r\n\r\n", "ended without [DONE]"),
    ],
)
async def test_a_paced_stream_says_what_was_wrong_with_it(answer: bytes, fault: str) -> None:
    stream, _ = opened()
    stream.data_received(answer)
    assert stream.fault.startswith(fault)


async def test_a_paced_stream_that_is_cut_says_so() -> None:
    stream, _ = opened()
    stream.connection_lost(None)
    assert stream.fault == "was cut"


def opened() -> tuple[Stream, Mock]:
    transport = create_autospec(asyncio.Transport, instance=True)
    stream = Stream(b"POST / HTTP/1.1\r\n\r\n")
    stream.connection_made(transport)
    return stream, transport
