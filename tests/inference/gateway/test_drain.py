"""How a gateway stops: who is served is served to the end, and nobody is left hanging."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx2 as httpx
import psutil
import pytest
from pytest_django.plugin import DjangoDbBlocker

from billing.models import Outcome
from inference import control
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    Running,
    World,
    backend_add,
    chat,
    gateway_process,
    gateway_running,
    model_add,
    record_of,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"
STOP_TIMEOUT_S = 15


@pytest.fixture(autouse=True)
def _fresh_engine(world: World, engine: FakeVllm) -> None:
    engine.wait_for(running=0)
    engine.reset()


@pytest.fixture(scope="module")
def narrow(world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A model whose backend takes three requests at a time."""
    with django_db_blocker.unblock():
        backend = backend_add(world.backend.region, "narrow", world.engine.url)
        control.backend_update(actor=None, backend=backend, max_in_flight=3)
        model = model_add("three-at-a-time", backend)
        yield model.public_id
        model.delete()
        backend.delete()


@contextmanager
def client_of(gateway: Running, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=20) as client:
        yield client


def is_refused(gateway: Running) -> bool:
    try:
        httpx.get(f"{gateway.url}/healthz")
    except httpx.TransportError:
        return True
    return False


def test_a_gateway_that_is_still_starting_stops_at_once() -> None:
    with gateway_process() as gateway:
        wait_until(lambda: psutil.Process(gateway.process.pid).children(), STOP_TIMEOUT_S)
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(STOP_TIMEOUT_S) == 0


def test_a_gateway_told_to_stop_serves_on_until_all_know_it(key: str) -> None:
    with gateway_running(GATEWAY_DRAIN_DELAY_S="0.5") as gateway, client_of(gateway, key) as http:
        assert http.post(CHAT, json=chat(max_tokens=1)).headers.get("connection") != "close"
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: http.get("/readyz").status_code == 503)
        assert http.get("/readyz").json()["error"]["code"] == "draining"
        answer = http.post(CHAT, json=chat(max_tokens=1))
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert gateway.process.wait(STOP_TIMEOUT_S) == 0


def test_what_runs_and_what_waits_comes_to_its_end(narrow: str, key: str, engine: FakeVllm) -> None:
    body = chat("!delay 60", max_tokens=20, stream=True) | {"model": narrow}
    with gateway_running() as gateway, client_of(gateway, key) as http, ExitStack() as open_:
        streams = [open_.enter_context(http.stream("POST", CHAT, json=body)) for _ in range(3)]
        pool = open_.enter_context(ThreadPoolExecutor())
        waiting = pool.submit(http.post, CHAT, json=chat(max_tokens=2) | {"model": narrow})
        shown = f'sluice_gateway_waiting{{model="{narrow}"}} 1.0'
        wait_until(lambda: shown in http.get("/metrics").text)
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refused(gateway))
        engine.wait_for(running=3)
        for stream in streams:
            assert stream.read().endswith(b"data: [DONE]\n\n")
        assert waiting.result().json()["usage"]["completion_tokens"] == 2
        assert gateway.process.wait(STOP_TIMEOUT_S) == 0
    assert sorted(record.output_tokens for record in records()) == [2, 20, 20, 20]
    assert {record.outcome for record in records()} == {Outcome.COMPLETED}


def test_a_stream_past_the_limit_ends_with_an_error_and_is_not_billed(key: str) -> None:
    body = chat("!stall 2", max_tokens=9, stream=True)
    with gateway_running(GATEWAY_DRAIN_S="0.2") as gateway, client_of(gateway, key) as http:
        with http.stream("POST", CHAT, json=body) as answer:
            gateway.process.send_signal(signal.SIGTERM)
            events = answer.read().split(b"\n\n")
        assert json.loads(events[-2].removeprefix(b"data: "))["error"]["code"] == "draining"
        assert b"[DONE]" not in answer.content
        assert record_of(answer).outcome == Outcome.TIMEOUT
        assert gateway.process.wait(STOP_TIMEOUT_S) == 0


def test_a_second_signal_cuts_what_runs(key: str, engine: FakeVllm) -> None:
    with gateway_running() as gateway, client_of(gateway, key) as http:
        with http.stream("POST", CHAT, json=chat("!stall 2", stream=True)) as answer:
            gateway.process.send_signal(signal.SIGINT)
            wait_until(lambda: is_refused(gateway))
            gateway.process.send_signal(signal.SIGTERM)
            assert b'"draining"' in answer.read()
        assert record_of(answer).outcome == Outcome.TIMEOUT
        assert gateway.process.wait(STOP_TIMEOUT_S) == 0
    engine.wait_for(running=0, aborted=1)
