"""The bench measures what it says: the engine's answers are whole, the processes are counted."""

from __future__ import annotations

import os
import re
import time

import msgspec

from tests.bench import engine, procs
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


def test_the_time_and_memory_of_a_process_are_read() -> None:
    before_s, started = procs.cpu_s(os.getpid()), time.process_time()
    while time.process_time() - started < 0.1:
        pass
    assert 0.05 < procs.cpu_s(os.getpid()) - before_s < 5
    assert procs.memory_kb(os.getpid()) > 10_000
