"""Slow, missing and silent backends, slow clients, and the model that answers instead."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from anthropic import Anthropic
from openai import APIError, OpenAI
from pytest_django.plugin import DjangoDbBlocker

from billing.models import Outcome
from inference import control
from inference.models import Backend, Model
from tests import fake_vllm
from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    DEAD,
    IDLE,
    MODEL,
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
    record_of,
    records,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"
FALLS: Final = "acme/falls-back"
IMPATIENT: Final = "acme/impatient"
ENDLESS: Final = "acme/endless"
IMPATIENT_S: Final = 1
PATIENCE: Final = {
    "GATEWAY_KEEPALIVE_S": "0.2",
    "GATEWAY_SEND_TIMEOUT_S": "0.5",
    "GATEWAY_FIRST_BYTE_TIMEOUT_S": "2",
    "GATEWAY_IDLE_TIMEOUT_S": "2",
}


@pytest.fixture(scope="module")
def endless() -> Iterator[FakeVllm]:
    with fake_vllm.running(api_keys=("engine-key",), max_model_len=10**6) as engine:
        yield engine


@pytest.fixture(scope="module")
def patient(
    world: World, endless: FakeVllm, django_db_blocker: DjangoDbBlocker
) -> Iterator[Running]:
    """A gateway that soon says that it is still there."""
    with django_db_blocker.unblock():
        model_add(ENDLESS, backend_add(world.backend.region, "endless", endless.url))
        falls = model_add(FALLS, Backend.objects.get(name="dead"))
        control.model_set_routing(
            actor=None, model=falls, fallback=Model.objects.get(public_id=MODEL)
        )
        impatient = model_add(IMPATIENT, world.backend)
        control.model_set_routing(
            actor=None, model=impatient, total_timeout_s=IMPATIENT_S, idle_timeout_s=IMPATIENT_S
        )
        with gateway_running(**PATIENCE) as gateway:
            yield gateway
        Model.objects.filter(public_id__in=(FALLS, IMPATIENT, ENDLESS)).delete()
        Backend.objects.filter(name="endless").delete()


@pytest.fixture
def http(patient: Running, key: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=patient.url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def messages() -> Any:
    return [{"role": "user", "content": "!slow-first 700"}]


def test_a_stream_that_is_long_in_coming_gets_comments(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("!slow-first 700 !tokens 3", stream=True))
    comments, _, events = answer.text.partition("data: ")
    assert answer.headers["x-sluice-region"] == "se-north"
    assert 2 <= comments.count(": keep-alive\n\n") == len(comments) // len(": keep-alive\n\n") <= 4
    assert events.endswith("data: [DONE]\n\n")
    assert record_of(answer).output_tokens == 3


def test_comments_are_nothing_to_the_openai_sdk(patient: Running, key: str, messages: Any) -> None:
    with OpenAI(base_url=f"{patient.url}/v1", api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        assert len(list(stream)) > 3


def test_comments_are_nothing_to_the_anthropic_sdk(
    patient: Running, key: str, messages: Any
) -> None:
    with (
        Anthropic(base_url=patient.url, api_key=key, max_retries=0) as client,
        client.messages.stream(model=MODEL, messages=messages, max_tokens=5) as stream,
    ):
        assert stream.get_final_message().usage.output_tokens == 5


def test_an_error_after_comments_is_an_event(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("!slow-first 9000", stream=True))
    last = answer.text.strip().split("\n\n")[-1]
    assert answer.status_code == 200
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_timeout"


def test_the_sdk_raises_an_error_after_comments(patient: Running, key: str) -> None:
    late: Any = [{"role": "user", "content": "!slow-first 9000"}]
    with OpenAI(base_url=f"{patient.url}/v1", api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(model=MODEL, messages=late, stream=True)
        with pytest.raises(APIError, match="too long"):
            list(stream)


def test_a_client_that_leaves_during_comments_stops_the_engine(
    http: httpx.Client, engine: FakeVllm
) -> None:
    engine.wait_for(running=0)
    engine.reset()
    with http.stream("POST", CHAT, json=chat("!slow-first 9000", stream=True)) as answer:
        next(answer.iter_bytes())
    engine.wait_for(running=0, aborted=1)
    assert record_of(answer).outcome == Outcome.CLIENT_DISCONNECT


def test_a_client_that_takes_nothing_is_let_go(
    patient: Running, key: str, endless: FakeVllm
) -> None:
    body = json.dumps(chat(max_tokens=500_000, stream=True, n=8) | {"model": ENDLESS}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    place = urlsplit(patient.url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((place.hostname, place.port))
        client.sendall(head.encode() + body)
        endless.wait_for(running=1)
        endless.wait_for(running=0, aborted=1)
    record = wait_until(lambda: [r for r in records() if r.model == ENDLESS])[0]
    assert record.outcome == Outcome.CLIENT_DISCONNECT
    assert 0 < record.output_tokens <= endless.state()["generated_tokens"]


def test_a_model_has_timeouts_of_its_own(http: httpx.Client) -> None:
    slow = chat("!delay 300", max_tokens=20) | {"model": IMPATIENT}
    answer = http.post(CHAT, json=slow)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert answer.elapsed.total_seconds() >= IMPATIENT_S
    assert record_of(answer).outcome == Outcome.TIMEOUT


def test_a_stream_that_falls_silent_ends_with_an_error(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("!stall 3", stream=True))
    events = answer.text.strip().split("\n\n")
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "upstream_timeout"
    assert record_of(answer).outcome == Outcome.UPSTREAM_ERROR


@pytest.mark.parametrize("stream", [False, True])
def test_the_fallback_answers_and_says_so(http: httpx.Client, stream: bool) -> None:
    answer = http.post(CHAT, json=chat("Hi", stream=stream, max_tokens=4) | {"model": FALLS})
    record = record_of(answer)
    assert answer.status_code == 200
    assert answer.headers["x-sluice-fallback"] == FALLS
    assert f'"model":"{MODEL}"' in answer.text
    assert (record.model, record.backend, record.output_tokens) == (MODEL, "alive", 4)


def test_without_a_fallback_there_is_none(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("Hi") | {"model": DEAD})
    assert answer.status_code == 502
    assert "x-sluice-fallback" not in answer.headers


def test_a_fallback_is_no_way_around_a_request_that_is_wrong(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("Hi", temperature=9) | {"model": FALLS})
    assert answer.status_code == 400


def test_without_a_backend_there_is_a_503_that_says_when(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat("Hi") | {"model": IDLE})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_capacity")
    assert int(answer.headers["retry-after"]) > 0
