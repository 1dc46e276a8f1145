"""A process that stood still cuts what it runs, before another byte leaves."""

from __future__ import annotations

import asyncio

import pytest

from billing.models import Outcome
from inference.gateway import vigil
from inference.gateway.lifeline import Ended, Lifeline
from inference.gateway.vigil import Vigil


async def _never() -> None:
    await asyncio.Event().wait()


def lifeline(running: set[Lifeline]) -> Lifeline:
    return Lifeline(_never, 60, running)  # type: ignore[arg-type]


async def test_a_process_that_runs_keeps_its_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "BEAT_S", 0.001)
    running = set[Lifeline]()
    one, watch = lifeline(running), Vigil(running)
    watch.start()
    until = watch.until
    with one:
        await asyncio.sleep(0.05)
    assert watch.until > until
    watch.stop()
    one.close()


async def test_a_process_that_stood_still_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "BEAT_S", 0.001)
    running = set[Lifeline]()
    one, watch = lifeline(running), Vigil(running)
    watch.start()
    watch.until = asyncio.get_running_loop().time() - 1
    with pytest.raises(Ended) as ended, one:
        await asyncio.sleep(60)
    assert ended.value.outcome == Outcome.GATEWAY_CRASH
    with pytest.raises(Ended):
        one.check()
    watch.stop()
    one.close()
