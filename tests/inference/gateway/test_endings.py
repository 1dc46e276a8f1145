"""How requests end, and what is recorded of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from billing.models import Outcome
from inference.live import in_flight_read
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    MODEL,
    Running,
    World,
    chat,
    gateway_running,
    record_of,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _fresh_engine(engine: FakeVllm) -> None:
    engine.wait_for(running=0)
    engine.reset()


def test_a_finished_answer_is_recorded_to_the_token(http: httpx.Client, world: World) -> None:
    began = datetime.now(UTC)
    headers = httpx.Headers({"X-Client-Request-Id": "job\t42 é" + "x" * 200}, encoding="utf-8")
    answer = http.post(CHAT, json=chat("one two !cached 4", max_tokens=7), headers=headers)
    record = record_of(answer)
    key = world.cast.key.api_key
    assert (record.organization_id, record.project_id, record.api_key_id) == (
        key.organization_id, key.project_id, key.id,
    )  # fmt: skip
    assert (record.model, record.backend, record.region) == (MODEL, "alive", "se-north")
    assert (record.endpoint, record.streamed) == ("chat/completions", False)
    assert record.outcome == Outcome.COMPLETED
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (12, 4, 7)
    assert began <= record.admitted_at <= record.occurred_at <= datetime.now(UTC)
    assert record.client_request_id.startswith("job42 x")
    assert len(record.client_request_id) == 128


def test_a_finished_stream_is_recorded_to_the_token(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("!slow-first 30 !cached 2", max_tokens=7, stream=True))
    record = record_of(answer)
    assert record.streamed
    assert record.outcome == Outcome.COMPLETED
    assert (record.input_tokens, record.cached_tokens, record.output_tokens) == (12, 2, 7)
    assert record.ttft_ms is not None
    assert record.duration_ms >= record.ttft_ms


def test_a_client_that_leaves_a_stream_stops_the_engine(
    http: httpx.Client, engine: FakeVllm
) -> None:
    with http.stream("POST", CHAT, json=chat("!delay 20", max_tokens=500, stream=True)) as answer:
        lines = (line for line in answer.iter_lines() if line)
        got = [next(lines) for _ in range(6)]
    record = record_of(answer)
    state = engine.wait_for(running=0, aborted=1)
    assert len(got) == 6
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert record.input_tokens == 10
    assert 5 <= record.output_tokens <= state["generated_tokens"] < 20


def test_all_choices_of_a_stream_that_is_cut_are_recorded(
    http: httpx.Client, engine: FakeVllm
) -> None:
    body = chat("!stall 4", max_tokens=9, n=3, stream=True)
    with http.stream("POST", CHAT, json=body) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for _ in range(3 + 3 * 4):
            next(lines)
    engine.wait_for(running=0, aborted=1)
    record = record_of(answer)
    assert (record.input_tokens, record.output_tokens) == (10, 3 * 4)


def test_a_client_that_leaves_a_stalled_stream_stops_the_engine(
    http: httpx.Client, engine: FakeVllm
) -> None:
    with http.stream("POST", CHAT, json=chat("!stall 2", max_tokens=9, stream=True)) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for _ in range(3):
            next(lines)
    engine.wait_for(running=0, aborted=1)
    assert record_of(answer).output_tokens == 2


def test_a_client_that_leaves_before_an_answer_stops_the_engine(
    http: httpx.Client, engine: FakeVllm
) -> None:
    for stream in (False, True):
        with pytest.raises(httpx.ReadTimeout):
            http.post(CHAT, json=chat("!slow-first 9000", stream=stream), timeout=0.3)
    engine.wait_for(running=0, aborted=2)
    left = wait_until(lambda: records() if len(records()) == 2 else None)
    assert left
    assert {record.outcome for record in left} == {Outcome.CLIENT_DISCONNECT}
    assert sum(record.output_tokens for record in left) == 0


def test_an_engine_that_dies_within_a_stream_ends_it_with_an_error(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("!die 3", max_tokens=9, stream=True))
    events = [line for line in answer.text.split("\n\n") if line]
    error = json.loads(events[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "upstream_error")
    assert "[DONE]" not in answer.text
    record = record_of(answer)
    assert record.outcome == Outcome.UPSTREAM_ERROR
    assert (record.input_tokens, record.output_tokens) == (10, 3)


def test_an_engine_that_dies_within_a_whole_answer_is_502(http: httpx.Client) -> None:
    assert http.post(CHAT, json=chat("!die 3", max_tokens=9)).status_code == 502
    assert records() == []


def test_an_engine_that_takes_too_long_is_cut(world: World, key: str, engine: FakeVllm) -> None:
    headers = {"x-api-key": key}
    with gateway_running(GATEWAY_TOTAL_TIMEOUT_S="0.5") as gateway:
        url = gateway.url + CHAT
        whole = httpx.post(url, json=chat("!slow-first 9000"), headers=headers)
        assert (whole.status_code, whole.json()["error"]["code"]) == (504, "upstream_timeout")
        stream = httpx.post(url, json=chat("!stall 2", stream=True), headers=headers)
        assert "upstream_timeout" in stream.text.split("\n\n")[-2]
        assert record_of(whole).outcome == record_of(stream).outcome == Outcome.TIMEOUT
        assert record_of(stream).output_tokens == 2
    engine.wait_for(running=0, aborted=2)


def test_fifty_mixed_requests_at_once_add_up(openai: OpenAI) -> None:
    def ask(number: int) -> tuple[int, int]:
        text, tokens = "word " * number, number % 7 + 1
        messages: Any = [{"role": "user", "content": text or "x"}]
        if number % 3 == 0:
            whole = openai.completions.create(model=MODEL, prompt=text or "x", max_tokens=tokens)
            assert whole.usage
            return whole.usage.prompt_tokens, whole.usage.completion_tokens
        if number % 3 == 1:
            answer = openai.chat.completions.create(
                model=MODEL, messages=messages, max_tokens=tokens, n=2
            )
            assert answer.usage
            return answer.usage.prompt_tokens, answer.usage.completion_tokens
        chunks = openai.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=tokens, stream=True,
            stream_options={"include_usage": True},
        )  # fmt: skip
        counts = [chunk.usage for chunk in chunks if chunk.usage]
        return sum(c.prompt_tokens for c in counts), sum(c.completion_tokens for c in counts)

    with ThreadPoolExecutor(50) as pool:
        used = list(pool.map(ask, range(50)))
    wait_until(lambda: len(records()) == 50)
    assert len({record.request_id for record in records()}) == 50
    assert sum(record.input_tokens for record in records()) == sum(i for i, _ in used)
    assert sum(record.output_tokens for record in records()) == sum(o for _, o in used)


def test_requests_in_flight_are_shown_and_forgotten(http: httpx.Client, world: World) -> None:
    backend = str(world.backend.pk)
    with http.stream("POST", CHAT, json=chat("!stall 1", stream=True)) as answer:
        lines = answer.iter_lines()
        next(lines)
        wait_until(lambda: in_flight_read().get(backend) == 1)
        metrics = http.get("/metrics").text
        assert 'sluice_gateway_in_flight{backend="alive",region="se-north"} 1.0' in metrics
    wait_until(lambda: in_flight_read().get(backend, 0) == 0)


def test_metrics_name_no_tenant(http: httpx.Client, gateway: Running, world: World) -> None:
    http.post(CHAT, json=chat(stream=True))
    text = httpx.get(f"{gateway.url}/metrics").text
    assert 'sluice_gateway_answers_total{endpoint="chat/completions",status="200"}' in text
    cast = world.cast
    for tenant in (cast.acme.pk, cast.project.pk, cast.key.api_key.pk, cast.key.api_key.hint[:14]):
        assert str(tenant) not in text
