"""A gateway that dies: what it served is billed as far as it is known, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx2 as httpx
import psutil
import pytest

from billing.holds import holds_read
from billing.models import Outcome
from inference.gateway.spool.folder import OPEN
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    Running,
    World,
    chat,
    gateway_running,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"


def test_a_stream_cut_by_a_kill_is_billed_once_by_what_was_last_counted(
    world: World, key: str, engine: FakeVllm
) -> None:
    with gateway_running() as gateway:
        request_id, events = _killed_after(gateway, key, chunks=40)
        found = wait_until(records)  # the server starts another process
        wait_until(lambda: not holds_read().open)
    engine.wait_for(running=0)
    record = found[0]
    assert (record.request_id, record.outcome) == (request_id, Outcome.GATEWAY_CRASH)
    assert record.input_tokens == 10
    assert 15 <= record.output_tokens <= events
    assert record.amount_nano == (record.input_tokens + record.output_tokens) * 250
    assert {(r.request_id, r.output_tokens) for r in records()} == {
        (request_id, record.output_tokens)
    }


def test_a_request_without_an_answer_yet_is_free_when_the_gateway_dies(
    world: World, key: str, engine: FakeVllm, tmp_path: Path
) -> None:
    body = chat("!slow-first 9000")
    with gateway_running(SPOOL_DIR=str(tmp_path)) as gateway, ThreadPoolExecutor(1) as pool:
        headers = {"x-api-key": key, "X-Client-Request-Id": "never-answered"}
        asked = pool.submit(httpx.post, gateway.url + CHAT, json=body, headers=headers)
        wait_until(lambda: _is_noted(tmp_path))
        assert holds_read().open
        _kill(gateway)
        assert isinstance(asked.exception(), httpx.TransportError)
        wait_until(lambda: not holds_read().open)
    assert "never-answered" not in {record.client_request_id for record in records()}
    engine.wait_for(running=0)


def _is_noted(spool: Path) -> bool:
    """Whether a request that is running stands on disk."""
    return any(Outcome.GATEWAY_CRASH.encode() in p.read_bytes() for p in spool.rglob(f"*{OPEN}"))


def _killed_after(gateway: Running, key: str, chunks: int) -> tuple[UUID, int]:
    """The id of a stream, and the tokens that came before the gateway was killed."""
    body = chat("!delay 50", max_tokens=500, stream=True)
    seen = 0
    headers = {"x-api-key": key}
    with httpx.stream("POST", gateway.url + CHAT, json=body, headers=headers) as answer:
        try:
            for line in answer.iter_lines():
                seen += line.startswith("data: {")
                if seen == chunks:
                    _kill(gateway)
        except httpx.TransportError:
            pass
    return UUID(answer.headers["x-request-id"]), seen


def _kill(gateway: Running) -> None:
    """All but the supervisor, which starts another process."""
    for process in psutil.Process(gateway.process.pid).children(recursive=True):
        process.kill()
