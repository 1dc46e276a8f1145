"""Whatever a broken backend says: a clean error or another backend, and nothing leaks or hangs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
from openai import APIError, OpenAI
from pytest_django.plugin import DjangoDbBlocker

from inference.models import Backend, Model
from tests.inference.gateway.conftest import (
    Running,
    World,
    backend_add,
    chat,
    gateway_running,
    model_add,
    records,
    wait_until,
)
from tests.inference.gateway.raw_backend import BEFORE, WITHIN, RawBackend, raw_backend_running

pytestmark = pytest.mark.django_db

CHAT: Final = "/v1/chat/completions"
SILENT: Final = {"nothing", "a head and nothing"}
TIMEOUTS: Final = {
    "GATEWAY_FIRST_BYTE_TIMEOUT_S": "1",
    "GATEWAY_IDLE_TIMEOUT_S": "1",
    "GATEWAY_TOTAL_TIMEOUT_S": "3",
    "SNAPSHOT_MAX_AGE_S": "1",
}


@dataclass(frozen=True)
class Broken:
    """A gateway with a broken backend for each fault, and one that is alone with its model."""

    gateway: Running
    alone: RawBackend
    backends: Mapping[str, RawBackend]
    http: httpx.Client


ALONE: Final = "raw/alone"


def mended(fault: str) -> str:
    """Its broken backend has all the weight, and beside it is a good one."""
    return f"raw/{fault.replace(' ', '-')}"


@pytest.fixture(scope="module")
def broken(world: World, django_db_blocker: DjangoDbBlocker) -> Iterator[Broken]:
    faults = {**BEFORE, **{f"within {name}": says for name, says in WITHIN.items()}}
    with ExitStack() as stack, django_db_blocker.unblock():
        backends = {
            fault: stack.enter_context(raw_backend_running(says)) for fault, says in faults.items()
        }
        only = stack.enter_context(raw_backend_running(BEFORE["nothing"]))
        stack.callback(_forget)
        model_add(ALONE, backend_add(world.backend.region, "raw-alone", only.url))
        for fault, raw in backends.items():
            _models(fault, raw, world.backend)
        gateway = stack.enter_context(gateway_running(**TIMEOUTS))
        headers = {"Authorization": f"Bearer {world.cast.key.secret}"}
        http = stack.enter_context(httpx.Client(base_url=gateway.url, headers=headers, timeout=20))
        yield Broken(gateway, only, backends, http)


def _models(fault: str, raw: RawBackend, good: Backend) -> None:
    row = backend_add(good.region, f"raw-{fault.replace(' ', '-').lower()}", raw.url, weight=100)
    model_add(mended(fault), row, good)


def _forget() -> None:
    Model.objects.filter(public_id__startswith="raw/").delete()
    Backend.objects.filter(name__startswith="raw-").delete()


def ask(broken: Broken, model: str, *, stream: bool) -> httpx.Response:
    return broken.http.post(CHAT, json=chat("Hi", stream=stream, max_tokens=3) | {"model": model})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", BEFORE)
def test_what_is_no_answer_is_a_clean_error(broken: Broken, fault: str, stream: bool) -> None:
    broken.alone.says = BEFORE[fault]
    answer = ask(broken, ALONE, stream=stream)
    error = answer.json()["error"]
    assert answer.status_code == (504 if fault in SILENT else 502), error
    assert error["code"] == ("upstream_timeout" if fault in SILENT else "upstream_error")
    assert "/srv/model" not in answer.text
    assert not [r for r in records() if str(r.request_id) == answer.headers["x-request-id"]
                and r.output_tokens]  # fmt: skip
    wait_until(lambda: broken.alone.open == 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", sorted(set(BEFORE) - SILENT))
def test_another_backend_answers_in_its_place(broken: Broken, fault: str, stream: bool) -> None:
    """A busy machine may fail a check of the broken one, which is then not asked for a while."""
    asked = broken.backends[fault].asked

    def was_asked() -> bool:
        answer = ask(broken, mended(fault), stream=stream)
        assert answer.status_code == 200, answer.text
        return broken.backends[fault].asked > asked

    wait_until(was_asked)


@pytest.mark.parametrize("fault", sorted(SILENT))
def test_another_backend_streams_in_place_of_a_silent_one(broken: Broken, fault: str) -> None:
    answer = ask(broken, mended(fault), stream=True)
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("fault", WITHIN)
def test_a_stream_that_breaks_ends_with_an_error_event(broken: Broken, fault: str) -> None:
    answer = ask(broken, mended(f"within {fault}"), stream=True)
    events = [json.loads(e.removeprefix("data: ")) for e in answer.text.strip().split("\n\n")]
    assert answer.status_code == 200
    assert events[0]["choices"][0]["delta"]["content"] == "Hi"
    assert events[-1]["error"]["code"] in {"upstream_error", "upstream_timeout"}
    assert len(events) == 2
    assert "/srv/model" not in answer.text
    wait_until(lambda: broken.backends[f"within {fault}"].open == 0)


@pytest.mark.parametrize("fault", ["garbage", "a cut"])
def test_the_sdk_raises_when_a_stream_breaks(broken: Broken, world: World, fault: str) -> None:
    with OpenAI(
        base_url=f"{broken.gateway.url}/v1", api_key=world.cast.key.secret, max_retries=0
    ) as client:
        messages: Any = [{"role": "user", "content": "Hi"}]

        def raised() -> APIError | None:
            """None where the other backend answered: the broken one may have failed a check."""
            stream = client.chat.completions.create(
                model=mended(f"within {fault}"), messages=messages, stream=True
            )
            try:
                list(stream)
            except APIError as error:
                return error
            return None

        assert "nothing was billed" in str(wait_until(raised))


def test_nothing_is_left_open_afterwards(broken: Broken) -> None:
    """Run last: by now each fault was met several times."""
    worker = worker_of(broken.gateway)
    wait_until(lambda: sockets(worker) < 40)
    metrics = broken.http.get("/metrics").text
    in_flight = [line for line in metrics.splitlines() if line.startswith("sluice_gateway_in_flig")]
    assert in_flight
    assert all(line.endswith(" 0.0") for line in in_flight)


def worker_of(gateway: Running) -> int:
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children")
    return int(children.read_text().split()[-1])


def sockets(pid: int) -> int:
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink())
    return sum(link.startswith("socket:") for link in links)
