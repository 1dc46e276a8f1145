"""What runs: the engine, gateways side by side, and the worker, all by the clock of the month."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

from celery import Task

from console.embedded import HOST, Postgres, Running, Valkey, free_port
from tests import fake_vllm
from tests.fake_vllm import FakeVllm
from tests.kills.processes import Process, answers
from tests.month.asking import CHAT_MODEL
from tests.month.clock import VARIABLE, Clock, followed
from tests.servers import ENVIRONMENT

ENGINE_MODEL: Final = "tiny-llama"
ENGINE_KEY: Final = "engine-key"
TASK_S: Final = 120
"""A task that takes longer hangs."""

type Do = Callable[[Task[[], None]], None]
"""Does a task of Celery's, and returns when it is done."""


@dataclass(frozen=True)
class World:
    clock: Clock
    engine: FakeVllm
    gateways: Sequence[str]
    do: Do

    def given(self) -> dict[str, tuple[int, int]]:
        """Of each request what the engine read of its prompt, and the tokens that it made."""
        found = _json(f"{self.engine.url}/_fake/given")
        return {
            str(UUID(id_.partition("-")[2])): (read, made) for id_, (read, made) in found.items()
        }

    def prices(self, gateway: str, key: str) -> dict[str, Decimal]:
        """What CHAT_MODEL costs whoever has `key`, by component, as a gateway tells it."""
        model = _json(f"{gateway}/v1/models/{CHAT_MODEL}", {"x-api-key": key})
        prices = {name: one for name, one in model["prices"].items() if name != "currency"}
        return {component: Decimal(one["price"]) for component, one in prices.items()}


@contextmanager
def stores_running(folder: Path) -> Iterator[None]:
    """PostgreSQL with all tables, and Valkey, to be thrown away; Django is set up for them."""
    with ExitStack() as stack:
        postgres = Postgres(folder / "postgres", durable=False)
        for server in (postgres, Valkey(folder / "valkey", durable=False)):
            stack.callback(Running(server).stop)
            os.environ |= server.environment
        os.environ |= ENVIRONMENT | {"STATIC_ROOT": str(folder / "static")}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield


@contextmanager
def world_running(folder: Path, gateways: int, do: Do | None = None) -> Iterator[World]:
    """`gateways` and an engine; `do` is by a worker of its own, unless the caller knows better.

    This process follows the clock from here on: it shows 1970 until it is set.
    """
    clock = Clock(folder / "clock")
    environment = {
        VARIABLE: str(folder / "clock"), "SPOOL_DIR": str(folder / "spool"),
        "SPOOL_MIN_FREE_MB": "0", "SPOOL_SLOW_S": "30", "GATEWAY_DRAIN_S": "2",
    }  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment))
        engine = stack.enter_context(fake_vllm.running(model=ENGINE_MODEL, api_keys=(ENGINE_KEY,)))
        stack.enter_context(followed(clock))
        urls = [f"http://{HOST}:{free_port()}" for _ in range(gateways)]
        yield World(clock, engine, urls, do or _by_worker)


@contextmanager
def processes_running(world: World, folder: Path) -> Iterator[None]:
    """The clock is set, and stands where the month begins."""
    processes = [_gateway(url, folder) for url in world.gateways]
    if world.do is _by_worker:
        processes.append(_worker(folder))
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.stop)
            process.begin()
        for process in processes:
            process.await_ready()
        yield


def _gateway(url: str, folder: Path) -> Process:
    port = url.rpartition(":")[2]
    argv = (sys.executable, "-m", "tests.month.gateway", f"--port={port}")
    return Process(f"gateway-{port}", argv, folder, lambda: answers(f"{url}/readyz"))


def _worker(folder: Path) -> Process:
    options = ("--pool=threads", "--concurrency=1", "--without-gossip", "--without-mingle")
    argv = (sys.executable, "-m", "celery", "-A", "tests.month.worker", "worker", *options)
    return Process("worker", argv, folder)


def _by_worker(task: Task[[], None]) -> None:
    """Raises what it has raised."""
    from console.celery import app

    app.conf.update(result_backend=app.conf.broker_url)
    app.send_task(task.name, ignore_result=False).get(timeout=TASK_S)


def _json(url: str, headers: Mapping[str, str] | None = None) -> Any:
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)
