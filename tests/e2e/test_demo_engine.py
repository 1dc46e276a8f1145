"""The demo engine, with its real model: what `make up` answers with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import urlopen

import pytest

from console import local
from console.embedded import HOST, free_port
from inference.engines.llamacpp import ENGINE as LLAMACPP

START_DEADLINE_S: Final = 60
QUESTION: Final = [{"role": "user", "content": "What is the capital of France?"}]


class Engine:
    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}"

    def get(self, path: str) -> bytes:
        with urlopen(self._url + path, timeout=60) as response:  # noqa: S310 - our own engine
            body: bytes = response.read()
        return body

    def post(self, path: str, **body: Any) -> HTTPResponse:
        data = json.dumps(body).encode()
        response: HTTPResponse = urlopen(self._url + path, data, timeout=120)  # noqa: S310
        return response

    def is_ready(self) -> bool:
        try:
            return b'"ok"' in self.get("/health")
        except OSError:
            return False

    def is_idle(self) -> bool:
        return b"llamacpp:requests_processing 0\n" in self.get("/metrics")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    port = free_port()
    with TemporaryDirectory() as folder:
        argv = [sys.executable, "-m", "inference.engines.demo"]
        argv += [f"--port={port}", f"--models={folder}"]
        log = (Path(folder) / "log").open("wb")
        with log, subprocess.Popen(argv, cwd=local.ROOT, stdout=log, stderr=log) as process:  # noqa: S603
            engine = Engine(port)
            wait(engine.is_ready, START_DEADLINE_S)
            yield engine
            process.terminate()


def wait(happened: Callable[[], bool], deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_it_answers_and_stops_before_it_speaks_for_the_user(engine: Engine) -> None:
    with engine.post("/v1/chat/completions", messages=QUESTION, max_tokens=50) as response:
        answer = json.load(response)
    assert answer["choices"][0]["message"]["content"].strip() == "The capital of France is Paris."
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_it_counts_in_each_event_of_a_stream(engine: Engine) -> None:
    body = {"stream": True, "timings_per_token": True, "max_tokens": 4}
    with engine.post("/v1/chat/completions", messages=QUESTION, **body) as response:
        events = [json.loads(line[6:]) for line in response if line.startswith(b"data: {")]
    counts = [event["timings"]["predicted_n"] for event in events if "timings" in event]
    assert counts[:4] == [1, 2, 3, 4]


def test_it_keeps_nothing_of_a_prompt_for_the_next(engine: Engine) -> None:
    """It has no salt that would keep tenants apart."""
    body = json.loads(b'{"max_tokens":2' + LLAMACPP.request_fields("salt", 0, False) + b"}")
    for _ in range(2):
        with engine.post("/v1/chat/completions", messages=QUESTION, **body) as response:
            usage = json.load(response)["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_it_stops_when_the_client_leaves(engine: Engine) -> None:
    response = engine.post("/v1/completions", prompt="Once", stream=True, ignore_eos=True)
    response.readline()
    assert not engine.is_idle()
    response.close()
    wait(engine.is_idle, deadline_s=60)
