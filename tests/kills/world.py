"""All that runs: both stores, an engine, two gateways side by side, and what books usage."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final
from uuid import UUID

from console.embedded import HOST, NAME, Postgres, Valkey, free_port
from tests import fake_vllm
from tests.fake_vllm import FakeVllm
from tests.kills.processes import Process, answers
from tests.servers import ENVIRONMENT

if TYPE_CHECKING:
    from tests.kills.spools import Spools

GATEWAYS: Final = 2
MODEL: Final = "acme/tiny"
ENGINE_MODEL: Final = "tiny-llama"
ENGINE_KEY: Final = "engine-key"
CELERY: Final = (sys.executable, "-m", "celery", "-A", "console.celery")
PRICES: Final = {"input": Decimal(20), "cached_input": Decimal(10), "output": Decimal(60)}
"""EUR a million tokens: high, for money must run out within seconds."""


class Gateway(Process):
    """One of those side by side. `url` has no /v1."""

    def __init__(self, number: int, folder: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        argv = (sys.executable, "-m", "inference.gateway", f"--port={port}")
        super().__init__(f"gateway-{number}", argv, folder, lambda: answers(f"{self.url}/readyz"))

    def knows(self, key: str) -> bool:
        """Whether its snapshot has an API key."""
        request = urllib.request.Request(f"{self.url}/v1/models", headers={"x-api-key": key})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=2):  # noqa: S310 - loopback
                return True
        except OSError:
            return False


class World:
    """`is_long`: as `make up` runs it, with Celery, and with all the time that it takes."""

    def __init__(self, folder: Path, engine: FakeVllm, *, is_long: bool) -> None:
        self.engine, self.is_long = engine, is_long
        self._valkey = Valkey(folder / "valkey")
        self._postgres = Postgres(folder / "postgres")
        self.valkey = Process.of_server(self._valkey, folder)
        self.postgres = Process.of_server(self._postgres, folder)
        os.environ |= self._postgres.environment | self._valkey.environment
        os.environ |= _environment(folder)
        self.gateways = [Gateway(number, folder) for number in range(1, GATEWAYS + 1)]
        self.workers = [_celery_worker(folder), _beat(folder)] if is_long else [_loop(folder)]
        self._folder = folder

    @cached_property
    def spools(self) -> Spools:
        from tests.kills.spools import Spools

        return Spools(Path(os.environ["SPOOL_DIR"]))

    @property
    def processes(self) -> list[Process]:
        """In the order in which they are started."""
        return [self.postgres, self.valkey, *self.gateways, *self.workers]

    @property
    def gateway_pids(self) -> set[int]:
        return {pid for gateway in self.gateways for pid in gateway.pids}

    @property
    def valkey_files(self) -> Path:
        """The folder of its append-only file."""
        return self._valkey.data_dir / "appendonlydir"

    @property
    def postgres_url(self) -> str:
        return self._postgres.login_url(NAME)

    def another_worker(self) -> Process:
        """Not started yet."""
        make = _celery_worker if self.is_long else _loop
        return make(self._folder, "another")

    def start(self) -> None:
        _start(self.postgres, self.valkey)
        _tables_make(self.engine.url)
        self.restore()

    def restore(self) -> None:
        """All of it runs, and answers; the stores first, as everywhere."""
        _start(self.postgres, self.valkey)
        _start(*self.gateways, *self.workers)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def given(self) -> dict[UUID, tuple[int, int]]:
        """Of each request what the engine read of its prompt, and the tokens that it made."""
        with urllib.request.urlopen(f"{self.engine.url}/_fake/given", timeout=5) as answer:  # noqa: S310
            found = json.load(answer)
        return {UUID(id_.partition("-")[2]): (read, made) for id_, (read, made) in found.items()}


def _start(*processes: Process) -> None:
    """Side by side."""
    for process in processes:
        process.begin()
    for process in processes:
        process.await_ready()


@contextmanager
def world_running(*, is_long: bool = False) -> Iterator[World]:
    """All of it, with Django set up in this process for the same stores. Once in a process."""
    with TemporaryDirectory(prefix="sluice-kills-") as name, ExitStack() as stack:
        engine = stack.enter_context(fake_vllm.running(model=ENGINE_MODEL, api_keys=(ENGINE_KEY,)))
        world = World(Path(name), engine, is_long=is_long)
        stack.callback(world.stop)
        world.start()
        yield world


def _environment(folder: Path) -> Mapping[str, str]:
    return ENVIRONMENT | {
        "SPOOL_DIR": str(folder / "spool"),
        "SPOOL_MIN_FREE_MB": "0",
        "SPOOL_MAX_MB": "500",
        "SPOOL_SLOW_S": "5",
        "STATIC_ROOT": str(folder / "static"),
        "GATEWAY_DRAIN_S": "2",
    }


def _celery_worker(folder: Path, name: str = "worker") -> Process:
    """As `make up` starts it."""
    options = ("--pool=threads", "--concurrency=2", "--without-gossip", "--without-mingle")
    return Process(name, (*CELERY, "worker", *options, f"--hostname={name}@%h"), folder)


def _beat(folder: Path) -> Process:
    options = (f"--schedule={folder / 'schedule'}", "--pidfile=")
    return Process("beat", (*CELERY, "beat", *options), folder)


def _loop(folder: Path, name: str = "worker") -> Process:
    return Process(name, (sys.executable, "-m", "tests.kills.worker"), folder)


def _tables_make(engine_url: str) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from billing.models import Component
    from billing.services import rate_set
    from inference import control
    from inference.models import Engine, Task

    region = control.region_create(
        actor=None, code="se", site="Luleå", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=None, name="gpu-1", base_url=engine_url, engine=Engine.VLLM, region=region,
        key=ENGINE_KEY,
    )  # fmt: skip
    model = control.model_create(
        actor=None, public_id=MODEL, name="Tiny", tasks=[Task.CHAT], context_tokens=2048,
        owned_by="Acme",
    )  # fmt: skip
    for component, price in PRICES.items():
        rate_set(actor=None, model=MODEL, component=Component(component), price=price)
    control.model_deploy(actor=None, model=model, backend=backend, engine_model=ENGINE_MODEL)
    control.model_set_enabled(actor=None, model=model, enabled=True)
