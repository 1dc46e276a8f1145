"""Two gateways, each a process of its own, that behave as one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from typing import Any, Final, override

import httpx2 as httpx
import pytest
import redis
from pytest_django.plugin import DjangoDbBlocker

from console import embedded
from console.embedded import Valkey
from inference import control
from inference.live.seen import BREAKERS, GATEWAYS, PROBER, breaker_decode, gateway_decode
from inference.models import Backend, Model
from inference.routing.breaker import IN_A_ROW
from tenants import services
from tenants.valkey import SNAPSHOT_VERSION
from tests.inference.gateway.conftest import (
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
    wait_until,
)

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"
DUO: Final = "acme/duo"
"""One of its two backends fails every request, and has nearly all the weight."""
NARROW: Final = "acme/narrow"
"""Its backend takes one request at a time."""
ALONE: Final = {"GATEWAY_QUEUE_TIMEOUT_S": "0.5", "SNAPSHOT_MAX_AGE_S": "600"}
"""Nothing is reloaded by age, and nobody waits for long."""


type Commit = Callable[[Callable[[], object]], object]


class Failing:
    """An engine that is well, say its checks, and fails whatever it is asked. `looks` at its
    metrics are by whom.
    """

    def __init__(self) -> None:
        self.posts, self.looks = 0, Counter[str]()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.looks[self.headers["User-Agent"]] += self.path == "/metrics"
                self.answer(200, b'{"data":[{"id":"tiny-llama"}]}')

            def do_POST(self) -> None:
                engine.posts += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer(500, b"{}")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            @override
            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def failing() -> Iterator[Failing]:
    engine = Failing()
    thread = Thread(target=engine.server.serve_forever, args=(0.01,))
    thread.start()
    yield engine
    engine.server.shutdown()
    engine.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """A Valkey of their own, where nobody announces anything to them."""
    with TemporaryDirectory(prefix="sluice-") as folder:
        store = Valkey(Path(folder) / "valkey", durable=False)
        running = embedded.Running(store)
        yield store
        running.stop()


@pytest.fixture(scope="module")
def valkey(server: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def models(
    world: World, failing: Failing, django_db_blocker: DjangoDbBlocker
) -> Iterator[dict[str, Backend]]:
    """Backends by name, and models on them; gone after these tests."""
    with django_db_blocker.unblock():
        region, url = world.backend.region, world.backend.base_url
        backends = {
            "failing": backend_add(region, "failing", failing.url, weight=100),
            "narrow": backend_add(region, "narrow", url),
        }
        control.backend_update(actor=None, backend=backends["narrow"], max_in_flight=1)
        model_add(DUO, world.backend, backends["failing"])
        model_add(NARROW, backends["narrow"])
        yield backends
        Model.objects.filter(public_id__in=[DUO, NARROW]).delete()
        Backend.objects.filter(name__in=backends).delete()


@pytest.fixture(scope="module")
def gateways(models: dict[str, Backend], server: Valkey) -> Iterator[list[Running]]:
    with ExitStack() as stack:
        alone = {"VALKEY_URL": server.url, **ALONE}
        yield [stack.enter_context(gateway_running(**alone)) for _ in range(2)]


@pytest.fixture
def clients(gateways: list[Running], key: str) -> Iterator[list[httpx.Client]]:
    headers = {"Authorization": f"Bearer {key}"}
    with ExitStack() as stack:
        yield [
            stack.enter_context(httpx.Client(base_url=one.url, headers=headers, timeout=20))
            for one in gateways
        ]


def beats(valkey: redis.Redis) -> dict[bytes, int]:
    return {name: gateway_decode(said).beat for name, said in _hash(valkey, GATEWAYS).items()}


def both_beat(valkey: redis.Redis) -> None:
    """Wait until each gateway has heard what was written by now."""
    before = beats(valkey)
    wait_until(lambda: all(beats(valkey)[name] >= beat + 2 for name, beat in before.items()))


def test_a_backend_that_one_has_filled_is_full_for_the_other(
    clients: list[httpx.Client], valkey: redis.Redis, models: dict[str, Backend]
) -> None:
    one, other = clients
    wait_until(lambda: len(beats(valkey)) == 2)
    body = chat("!delay 100", model=NARROW, max_tokens=500, stream=True)
    with one.stream("POST", CHAT, json=body) as stream:
        assert stream.status_code == 200
        both_beat(valkey)
        refused = other.post(CHAT, json=chat(model=NARROW))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_capacity")
        assert int(refused.headers["retry-after"]) >= 1
    wait_until(lambda: other.post(CHAT, json=chat(model=NARROW)).status_code == 200)


def test_a_breaker_that_opens_in_one_is_open_in_the_other(
    clients: list[httpx.Client],
    valkey: redis.Redis,
    failing: Failing,
    models: dict[str, Backend],
) -> None:
    one, other = clients

    def ask() -> bool:  # now and then the other backend is asked first
        assert one.post(CHAT, json=chat(model=DUO)).status_code == 200
        return failing.posts == IN_A_ROW

    wait_until(ask)
    wait_until(lambda: _hash(valkey, BREAKERS))
    (said,) = _hash(valkey, BREAKERS).values()
    assert breaker_decode(said).phase == "open"
    both_beat(valkey)
    before = failing.posts
    for _ in range(10):
        assert other.post(CHAT, json=chat(model=DUO)).status_code == 200
    assert (before, failing.posts) == (IN_A_ROW, IN_A_ROW)


def test_a_key_is_refused_at_once_though_nobody_announced_it(
    clients: list[httpx.Client], valkey: redis.Redis, world: World, commit: Commit
) -> None:
    project = world.cast.project
    new: Any = commit(lambda: services.api_key_create(actor=None, project=project, name="Leaked"))
    headers = {"Authorization": f"Bearer {new.secret}"}

    def answer_all(status: int) -> bool:
        return {one.get("/v1/models", headers=headers).status_code for one in clients} == {status}

    valkey.incr(SNAPSHOT_VERSION)
    wait_until(lambda: answer_all(200))
    commit(lambda: services.api_key_revoke(actor=None, api_key=new.api_key))
    valkey.incr(SNAPSHOT_VERSION)
    wait_until(lambda: answer_all(401))


def test_one_of_them_looks_after_the_backends_and_the_other_takes_over(
    gateways: list[Running], valkey: redis.Redis, failing: Failing
) -> None:
    prober = wait_until(lambda: _prober(valkey))
    (other,) = beats(valkey).keys() - {prober}
    first, start = _looks(failing, prober), monotonic()
    wait_until(lambda: _looks(failing, prober) >= first + 3)
    assert monotonic() - start > 1.5, "once a second"
    assert _looks(failing, other) == 0
    _kill(prober, gateways)
    wait_until(lambda: _looks(failing, other))
    assert _prober(valkey) == other


def _hash(valkey: redis.Redis, key: str) -> dict[bytes, bytes]:
    found: Any = valkey.hgetall(key)
    return dict(found)


def _prober(valkey: redis.Redis) -> bytes:
    """The gateway that probes; empty while there is none."""
    holder: Any = valkey.get(PROBER)
    return bytes(holder or b"")


def _looks(failing: Failing, gateway: bytes) -> int:
    return failing.looks[f"sluice {gateway.decode()}"]


def _kill(gateway: bytes, gateways: list[Running]) -> None:
    """End a worker process, and first the one that would start another."""
    worker = int(gateway.rpartition(b":")[2])
    command = ("ps", "-o", "ppid=", "-p", str(worker))
    parent = int(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603
    assert parent in {one.process.pid for one in gateways}
    os.kill(parent, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
