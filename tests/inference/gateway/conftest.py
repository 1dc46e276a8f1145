"""A gateway as it is run, a fake engine behind it, and what both need in the database."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import redis
from anthropic import Anthropic
from django.core.management import call_command
from django.db import connection
from openai import OpenAI
from pytest_django.plugin import DjangoDbBlocker

from billing.metering import FIELD, SHARDS, UsageRecord, decode, stream_of
from billing.services import rate_set
from inference import control
from inference.models import Backend, Model, Region, Task
from tenants.valkey import client as valkey
from tests import fake_vllm
from tests.conftest import Cast, began, make_cast
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.server import free_port
from tests.servers import services_url

ROOT: Final = Path(__file__).parents[3]
START_TIMEOUT_S: Final = 120
PATIENCE_S: Final = 30
"""Longer than a busy machine takes for anything."""
LIMITS: Final = {
    "GATEWAY_MAX_BODY_BYTES": "100000",
    "GATEWAY_MAX_IMAGES_BODY_BYTES": "300000",
    "GATEWAY_MAX_AUDIO_BODY_BYTES": "1000000",
    "GATEWAY_BODY_TIMEOUT_S": "2",
    "GATEWAY_CONNECT_TIMEOUT_S": "2",
    "SNAPSHOT_MAX_AGE_S": "600",  # what it knows it was told
}

MODEL: Final = "acme/tiny"
"""Served by the fake engine, which knows it as `tiny-llama`."""
DEAD: Final = "dead"
"""Its only backend is not there."""
HALF_DEAD: Final = "half-dead"
"""One of its two backends is not there; it has all the weight."""
IDLE: Final = "idle"
"""It has no backend."""
COMPLETION_ONLY: Final = "completion-only"
READER: Final = "acme/reader"
"""It embeds and ranks."""
LISTENER: Final = "acme/listener"
"""A Whisper: it transcribes and translates."""
OTHER_LISTENER: Final = "acme/other-listener"
"""It transcribes, and is no Whisper: its streams do not tell the seconds."""


@dataclass(frozen=True)
class World:
    """What is committed for all tests of the gateway."""

    cast: Cast
    engine: FakeVllm
    backend: Backend


@dataclass(frozen=True)
class Running:
    """A gateway process; `url` has no /v1."""

    url: str
    process: subprocess.Popen[bytes]


def wait_until[T](found: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """The first true value of `found`; AssertionError past `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_s} s"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="package")
def engine() -> Iterator[FakeVllm]:
    with fake_vllm.running(api_keys=("engine-key",)) as running:
        yield running


@pytest.fixture(scope="package")
def world(
    engine: FakeVllm, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    """Committed once, since another process reads it, and gone after these tests."""
    with django_db_blocker.unblock():
        yield World(make_cast(), engine, _models(engine))
        call_command("flush", interactive=False, verbosity=0)


def _models(engine: FakeVllm) -> Backend:
    region = control.region_create(
        actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
    )
    alive = backend_add(region, "alive", engine.url)
    dead = backend_add(region, "dead", f"http://127.0.0.1:{free_port()}", weight=100)
    model_add(MODEL, alive)
    model_add(DEAD, dead)
    model_add(HALF_DEAD, alive, dead)
    model_add(IDLE)
    model_add(COMPLETION_ONLY, alive, tasks=(Task.COMPLETION,))
    model_add(READER, alive, tasks=(Task.EMBEDDING, Task.RERANK))
    model_add(LISTENER, alive, tasks=(Task.TRANSCRIPTION, Task.TRANSLATION), family="Whisper")
    model_add(OTHER_LISTENER, alive, tasks=(Task.TRANSCRIPTION,))
    return alive


def backend_add(region: Region, name: str, url: str, weight: int = 1) -> Backend:
    return control.backend_register(
        actor=None, name=name, base_url=url, engine="vllm", region=region, key="engine-key",
        weight=weight,
    )  # fmt: skip


def model_add(
    public_id: str,
    *backends: Backend,
    tasks: tuple[Task, ...] = (Task.CHAT, Task.COMPLETION),
    family: str = "",
    engine_model: str = "tiny-llama",
) -> Model:
    model = control.model_create(
        actor=None,
        public_id=public_id,
        name=public_id.title(),
        tasks=tasks,
        context_tokens=2048,
        owned_by="Acme",
        family=family,
    )
    for component in model.components:
        rate_set(actor=None, model=public_id, component=component, price=Decimal("0.25"))
    for backend in backends:
        control.model_deploy(actor=None, model=model, backend=backend, engine_model=engine_model)
    return control.model_set_enabled(actor=None, model=model, enabled=True)


@contextmanager
def gateway_running(*options: str, **environment: str) -> Iterator[Running]:
    """A gateway of its own, ready, in the tests' database, with more `environment`."""
    with gateway_process(*options, **{"DATABASE_URL": services_url()} | environment) as running:
        wait_until(lambda: is_ready(running), START_TIMEOUT_S)
        yield running


@contextmanager
def gateway_process(*options: str, **environment: str) -> Iterator[Running]:
    """A gateway of its own, just started, with more `options` of its command line."""
    url = f"http://127.0.0.1:{free_port()}"
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "inference.gateway", f"--port={port}", *options]
    with tempfile.TemporaryDirectory() as spool:
        base = os.environ | {"SPOOL_DIR": spool, "SPOOL_MIN_FREE_MB": "0", "SPOOL_SLOW_S": "5"}
        process = subprocess.Popen(command, env=base | environment, cwd=ROOT)  # noqa: S603
        try:
            yield Running(url, process)
        finally:
            process.terminate()
            process.wait(15)


def is_ready(running: Running) -> bool:
    assert running.process.poll() is None, "the gateway ended"
    try:
        return httpx.get(f"{running.url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="package")
def gateway(world: World) -> Iterator[Running]:
    with gateway_running(**LIMITS) as running:
        yield running


@pytest.fixture
def key(world: World) -> str:
    return world.cast.key.secret


@pytest.fixture
def http(gateway: Running, key: str) -> Iterator[httpx.Client]:
    """A client with Acme's key."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=20) as client:
        yield client


@pytest.fixture
def openai(gateway: Running, key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(gateway: Running, key: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as client:
        yield client


@pytest.fixture
def commit() -> Callable[[Callable[[], object]], object]:
    """Do something on a connection of its own, so that other processes see it."""

    def act(work: Callable[[], object]) -> object:
        def run() -> object:
            try:
                return work()
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run).result()

    return act


def chat(text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A chat request; commands of the fake engine stand in `text`."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def records(store: redis.Redis | None = None) -> list[UsageRecord]:
    """What gateways have settled so far of what this test asked."""
    with (store or valkey()).pipeline(transaction=False) as pipeline:
        for shard in range(SHARDS):
            pipeline.xrange(stream_of(shard))
        streams: Any = pipeline.execute()
    found = [decode(entry[FIELD]) for entries in streams for _id, entry in entries]
    return [record for record in found if record.admitted_at >= began[0]]


def record_of(response: httpx.Response) -> UsageRecord:
    """The one record of a request, which may still be on its way."""
    wanted = response.headers["x-request-id"]
    found = wait_until(lambda: [r for r in records() if str(r.request_id) == wanted])
    assert len(found) == 1
    return found[0]
