"""The stores come and go; requests that run do not notice, and nothing that was used is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2 as httpx
import pytest
import redis

from billing.metering import UsageRecord
from console import embedded
from console.embedded import Valkey
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import (
    Running,
    World,
    chat,
    gateway_process,
    gateway_running,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey of the test's own, not running yet; it keeps what it was told."""
    with TemporaryDirectory(prefix="sluice-") as folder:
        yield Valkey(Path(folder) / "valkey")


def client_of(gateway: Running, key: str) -> httpx.Client:
    return httpx.Client(base_url=gateway.url, headers={"x-api-key": key}, timeout=20)


def records_in(valkey: Valkey) -> list[UsageRecord]:
    with redis.Redis.from_url(valkey.url) as client:
        return records(client)


def live_sums(valkey: Valkey, keys: str = "live:*") -> Counter[str]:
    sums: Counter[str] = Counter()
    with redis.Redis.from_url(valkey.url) as client:
        for minute in client.keys(keys):
            for name, count in client.hgetall(minute).items():
                sums[name.decode()] += int(count)
    return sums


def test_records_wait_while_valkey_is_down(world: World, key: str, valkey: Valkey) -> None:
    running = embedded.Running(valkey)
    with gateway_running(VALKEY_URL=valkey.url) as gateway, client_of(gateway, key) as http:
        ids = [http.post(CHAT, json=chat()).headers["x-request-id"]]
        wait_until(lambda: len(records_in(valkey)) == 1)
        running.stop()
        for stream in (False, True):
            answer = http.post(CHAT, json=chat(stream=stream))
            assert answer.status_code == 200
            ids.append(answer.headers["x-request-id"])
        assert "sluice_gateway_usage_records_waiting 2.0" in http.get("/metrics").text
        running = embedded.Running(valkey)
        wait_until(lambda: len(records_in(valkey)) == 3)
        assert [str(record.request_id) for record in records_in(valkey)] == ids
    running.stop()


def test_records_are_delivered_when_the_gateway_stops(
    world: World, key: str, valkey: Valkey, engine: FakeVllm
) -> None:
    running = embedded.Running(valkey)
    with gateway_running(VALKEY_URL=valkey.url) as gateway, client_of(gateway, key) as http:
        for _ in range(20):
            http.post(CHAT, json=chat())
    assert len(records_in(valkey)) == 20
    running.stop()


def test_a_stream_that_runs_ends_before_the_gateway_does(
    world: World, key: str, valkey: Valkey
) -> None:
    running = embedded.Running(valkey)
    with gateway_running(VALKEY_URL=valkey.url) as gateway, client_of(gateway, key) as http:
        body = chat("!delay 40", max_tokens=20, stream=True)
        with http.stream("POST", CHAT, json=body) as answer:
            lines = (line for line in answer.iter_lines() if line)
            first = next(lines)
            gateway.process.terminate()
            rest = list(lines)
    assert first.startswith("data: {")
    assert rest[-1] == "data: [DONE]"
    assert [(r.outcome, r.output_tokens) for r in records_in(valkey)] == [("completed", 20)]
    running.stop()


def test_live_figures_tell_what_happened(world: World, key: str, valkey: Valkey) -> None:
    running = embedded.Running(valkey)
    with gateway_running(VALKEY_URL=valkey.url) as gateway, client_of(gateway, key) as http:
        http.post(CHAT, json=chat(max_tokens=5))
        http.post(CHAT, json=chat(max_tokens=5, stream=True))
        http.post(CHAT, json=chat("!die", stream=True))
        http.post(CHAT, json=chat(model="nope"))
        httpx.get(f"{gateway.url}/v1/models")  # without a key: not counted
    sums = live_sums(valkey)
    assert (sums["requests"], sums["errors"], sums["refused"]) == (4, 1, 1)
    assert (sums["input_tokens"], sums["output_tokens"]) == (9 + 9 + 9, 5 + 5 + 3)
    assert sum(count for name, count in sums.items() if name.startswith("ttft:")) == 2
    sums = live_sums(valkey, f"live-backend:{world.backend.pk}:*")
    assert (sums["requests"], sums["errors"], sums["retries"]) == (3, 1, 0)
    assert sum(count for name, count in sums.items() if name.startswith("ttft:")) == 2
    running.stop()


def test_a_gateway_without_a_snapshot_is_alive_and_not_ready(key: str) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with gateway_process(DATABASE_URL=nowhere) as gateway:
        wait_until(lambda: _status(gateway, "/healthz") == 200)
        assert _status(gateway, "/readyz") == 503
        answer = httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": key})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


def _status(gateway: Running, path: str) -> int:
    try:
        return httpx.get(gateway.url + path).status_code
    except httpx.TransportError:
        return 0


def test_metrics_ask_for_the_token_where_one_is_set(world: World) -> None:
    with gateway_running(METRICS_TOKEN="scrape-me") as gateway:
        url = f"{gateway.url}/metrics"
        refused = httpx.get(url, headers={"Authorization": "Bearer wrong"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            401,
            "invalid_metrics_token",
        )
        allowed = httpx.get(url, headers={"Authorization": "Bearer scrape-me"})
        assert "sluice_gateway_" in allowed.text
