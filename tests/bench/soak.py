"""Many paced streams for minutes: no error, and memory that stays where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from tests.bench import engine, procs
from tests.bench.servers import BenchError, Proxy
from tests.bench.streams import Stream, events_of, streams_open

STREAMS: Final = 800
SAMPLE_S: Final = 15
SETTLED_AFTER_S: Final = 60
GROWTH: Final = 0.05


async def soak(proxy: Proxy, minutes: float, say: Callable[[str], None]) -> int:
    """How many streams were answered to their end.

    BenchError when one fails, or when memory is ever 5 % above the most of the first minute.
    """
    loop = asyncio.get_running_loop()
    async with streams_open(proxy, STREAMS) as streams:
        start, settled_kb = loop.time(), 0.0
        while (passed_s := loop.time() - start) < minutes * 60:
            events, sampled_s = events_of(streams), loop.time()
            await asyncio.sleep(SAMPLE_S)
            share = (events_of(streams) - events) / _due(loop.time() - sampled_s)
            kb = procs.memory_kb(proxy.pid)
            say(_line(passed_s + SAMPLE_S, kb, share, streams))
            if passed_s < SETTLED_AFTER_S:
                settled_kb = max(settled_kb, kb)
            _check(streams, kb, settled_kb)
        return sum(stream.answers for stream in streams)


def _due(seconds: float) -> float:
    return STREAMS * seconds / engine.STEP_S


def _line(passed_s: float, kb: float, share: float, streams: Sequence[Stream]) -> str:
    minutes, seconds = divmod(round(passed_s), 60)
    answers = sum(stream.answers for stream in streams)
    faults = sum(bool(stream.fault) for stream in streams)
    return (
        f"{minutes}:{seconds:02}  {kb / 1000:.1f} MB, {share:.1%} of the tokens due at 40/s, "
        f"{answers:,} streams ended, {faults} errors"
    )


def _check(streams: Sequence[Stream], kb: float, settled_kb: float) -> None:
    if faults := [stream.fault for stream in streams if stream.fault]:
        raise BenchError(f"{len(faults)} streams failed; the first {faults[0]}.")
    if kb > settled_kb * (1 + GROWTH):
        grown = kb / settled_kb - 1
        raise BenchError(f"memory grew {grown:.0%} after the first minute.")
