"""The whole platform on one machine: its services, their order and their environment."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import ChainMap
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import Any, Final

from celery import Celery

from console import local
from console.demo_models import DEMO_MODELS, DemoModel
from console.embedded import CONSOLE_LOGIN, HOST, Postgres, Server, Valkey, free_port
from console.leftovers import leftovers_kill
from console.supervisor import Ready, Service, Supervisor, at_once, together
from inference.engines import serve
from inference.engines.serve import Serving
from inference.gateway import serving
from inference.models import Engine

DEMO_FILE: Final = "demo.json"
STARTING_FILE: Final = "demo.starting.json"
"""The demo file has this name until all is ready: whoever waits for `demo.json` may call then."""

VLLM_START_S: Final = 180
JUST_NOW_S: Final = 3
TRYING: Final = {"SIGN_UP_OPEN": "true", "MFA_REQUIRED": "false"}
"""On one machine, for one person to try: anyone may sign up, and the demo people log in at once."""
SELLER: Final = {
    "SELLER_NAME": "Sluice Demo AB",
    "SELLER_ADDRESS": "Storgatan 1, 972 31 Luleå, Sweden",
    "SELLER_VAT_ID": "SE556000475401",
    "SELLER_IBAN": "SE35 5000 0000 0549 1000 0003",
}
"""Whose invoices they are, while nobody says it: nobody's."""
STRIPE_DOUBLE: Final = {
    "STRIPE_API_KEY": "sk_test_fake",
    "STRIPE_WEBHOOK_SECRETS": "whsec_of_a_double_and_no_secret",
}
"""For Stripe's double, `console.fakestripe`: payments without an account there, or money."""
NO_MORE: Final[Mapping[str, str]] = {}
OWNERS: Final = frozenset({"DATABASE_OWNER_URL", "POSTGRES_PASSWORD"})
"""What opens the whole database is for `migrate` alone."""
DRAIN_S: Final = 5
"""For streams that run when a person stops everything, and waits."""


class PortTaken(Exception):  # noqa: N818 - told to a person
    """A port that a service needs has another listener."""


class NoSuchEngine(Exception):  # noqa: N818 - told to a person
    """ENGINE names no engine."""


class Machine:
    """Starts everything, in order and side by side where it can be, and stops it."""

    def __init__(self, run_dir: Path, say: Callable[[str], None]) -> None:
        self._run_dir, self._say = run_dir, say
        self._console_port = int(os.environ.get("CONSOLE_PORT") or 8000)
        self._gateway_port = int(os.environ.get("GATEWAY_PORT") or 8001)
        self._engine_ports = {model: free_port() for model in demo_models_chosen()}
        self._stripe_port = free_port() if stripe_is_double() else None
        self._supervisor = Supervisor(run_dir / "logs", say)
        self._secrets = local.secrets_make(run_dir)
        self._stores = _embedded_stores(run_dir, self._secrets)
        self._addresses = self._addresses_find()
        self._step, self._steps = 0, 7 + len(self._stores) + bool(self._stripe_port)

    async def start(self) -> None:
        """Raises PortTaken before anything starts, StartFailed when something does not."""
        port_check("CONSOLE_PORT", self._console_port)
        port_check("GATEWAY_PORT", self._gateway_port)
        leftovers_kill(self._run_dir)
        local.environment_write(self._secrets | self._addresses, self._run_dir)
        self._demo_file_move(DEMO_FILE, STARTING_FILE)
        await together(
            self._start("Demo engine", *starmap(self._engine, self._engine_ports.items())),
            self._manage("Static files", "collectstatic", "--no-input"),
            self._start_rest(),
        )
        self._demo_file_move(STARTING_FILE, DEMO_FILE)

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def _start_rest(self) -> None:
        await together(*(self._start_store(store) for store in self._stores.values()))
        await self._timed("Tables", self._supervisor.run(self._migrate()))
        engines = self._engine_ports.items()
        await self._manage(
            "Demo data",
            "demo",
            f"--file={self._run_dir / STARTING_FILE}",
            *(f"--serve={model.public_id}=http://{HOST}:{port}" for model, port in engines),
        )
        await together(
            self._start("Gateway", self._gateway()),
            self._start("Console", self._console()),
            self._start("Worker and beat", self._worker(), self._beat()),
            *self._start_stripe(),
        )

    def _start_stripe(self) -> list[Coroutine[Any, Any, None]]:
        if not (port := self._stripe_port):
            return []
        env = self._environment()
        own = {
            "FAKESTRIPE_API_KEY": env["STRIPE_API_KEY"],
            "FAKESTRIPE_JOURNAL": str(self._run_dir / "fakestripe.jsonl"),
            "FAKESTRIPE_URL": env["STRIPE_API_BASE"],
            "FAKESTRIPE_WEBHOOK_SECRET": env["STRIPE_WEBHOOK_SECRETS"].split(",")[0],
            "FAKESTRIPE_WEBHOOK_URL": f"http://{HOST}:{self._console_port}/stripe/webhook/",
        }
        argv = ("-m", "console.fakestripe", f"--port={port}")
        service = self._python("fakestripe", *argv, is_ready=_answers(port, "/health"))
        return [self._start("Stripe’s double", replace(service, env=env | own))]

    async def _start_store(self, store: Server) -> None:
        service = Service(
            name=store.data_dir.name,
            argv=store.argv,
            is_ready=lambda: asyncio.to_thread(store.is_ready),
            env=self._environment(),
            identity=store.identity,
            stop_signal=store.stop_signal,
        )
        await self._timed(store.title, self._prepare_and_start(store, service))

    async def _prepare_and_start(self, store: Server, service: Service) -> None:
        await asyncio.to_thread(store.prepare)
        await self._supervisor.start(service)

    async def _start(self, title: str, *services: Service) -> None:
        await self._timed(title, self._supervisor.start(*services))

    async def _manage(self, title: str, command: str, *options: str) -> None:
        """Run a command of `manage.py` to its end."""
        service = self._python(command, "manage.py", command, *options)
        await self._timed(title, self._supervisor.run(service))

    async def _timed(self, title: str, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` and tell that it is done, and how long it took."""
        began = time.monotonic()
        await work
        self._step += 1
        took_s = time.monotonic() - began
        self._say(f"  [{self._step}/{self._steps}] {title:<16}{took_s:6.1f} s")

    def _engine(self, model: DemoModel, port: int) -> Service:
        if model.engine == Engine.VLLM:
            return self._vllm(model, port)
        models = f"--models={self._run_dir / 'models'}"
        argv = ("-m", "inference.engines.demo", f"--port={port}", models)
        return self._python("engine", *argv, is_ready=_answers(port, "/health"))

    def _vllm(self, model: DemoModel, port: int) -> Service:
        folder = str(serve.ENGINES / model.public_id)
        serving = Serving(
            folder, model.public_id, port, tool_parser=model.tool_parser, extra=model.flags
        )
        env = self._environment() | serve.environment(self._secrets["ENGINE_KEY"])
        is_ready = _answers(port, "/health")
        return Service(
            model.public_id, serving.argv(), is_ready, env, local.ROOT, start_timeout_s=VLLM_START_S
        )

    def _console(self) -> Service:
        where = ("--interface=asginl", f"--host={HOST}", f"--port={self._console_port}")
        argv = ("-m", "granian", *serving.OPTIONS, *where, "console.asgi:application")
        is_ready = _answers(self._console_port, "/readyz")
        return self._python("console", *argv, is_ready=is_ready, more=self._console_login())

    def _console_login(self) -> dict[str, str]:
        """One that is nobody until it says who asks."""
        match self._stores.get("DATABASE_URL"):
            case Postgres() as postgres:
                return {"DATABASE_URL": postgres.login_url(CONSOLE_LOGIN)}
        given = local.given("DATABASE_CONSOLE_URL")
        return {"DATABASE_URL": given} if given else {}

    def _migrate(self) -> Service:
        owner = {name: at for name, at in self._addresses.items() if name in OWNERS}
        return self._python("migrate", "manage.py", "migrate", "--no-input", more=owner)

    def _gateway(self) -> Service:
        argv = ("-m", "inference.gateway", f"--host={HOST}", f"--port={self._gateway_port}")
        return self._python("gateway", *argv, is_ready=_answers(self._gateway_port, "/readyz"))

    def _worker(self) -> Service:
        options = ("--pool=threads", "--concurrency=2", "--without-gossip", "--without-mingle")
        is_ready = _pings(self._environment()["VALKEY_URL"])
        return self._celery("worker", *options, is_ready=is_ready)

    def _beat(self) -> Service:
        folder = self._run_dir / "beat"
        folder.mkdir(mode=0o700, exist_ok=True)
        options = (f"--schedule={folder / 'schedule'}", "--pidfile=")
        return self._celery("beat", *options, is_ready=_written_lately(folder))

    def _celery(self, name: str, *options: str, is_ready: Ready) -> Service:
        argv = ("-m", "celery", "-A", "console.celery", name, *options)
        return self._python(name, *argv, is_ready=is_ready)

    def _python(
        self, name: str, *argv: str, is_ready: Ready = at_once, more: Mapping[str, str] = NO_MORE
    ) -> Service:
        env = {**self._environment(), **more}
        return Service(name, [sys.executable, *argv], is_ready, env=env, cwd=local.ROOT)

    def _environment(self) -> dict[str, str]:
        """What a person sets wins over what is kept in the run folder, but for addresses."""
        mark = {local.MARK: str(self._run_dir)}
        usual = self._secrets | TRYING | SELLER | {"GATEWAY_DRAIN_S": str(DRAIN_S)}
        found = usual | dict(os.environ) | self._addresses | mark
        return {name: value for name, value in found.items() if name not in OWNERS}

    def _addresses_find(self) -> dict[str, str]:
        """Given servers and URLs as they are, embedded ones where they are this time."""
        stores = (store.environment for store in self._stores.values())
        ours = {
            "DATABASE_OWNER_URL": "",
            **dict(ChainMap(*stores)),
            "CONSOLE_URL": f"http://localhost:{self._console_port}",
            "GATEWAY_URL": f"http://localhost:{self._gateway_port}/v1",
            "STATIC_ROOT": str(self._run_dir / "static"),
            "MAIL_FOLDER": str(self._run_dir / "mail"),
            **self._stripe(),
        }
        names = {*ours, "DATABASE_URL", "VALKEY_URL"}
        given = {name: value for name in names if (value := local.given(name))}
        return ours | given

    def _stripe(self) -> dict[str, str]:
        """The double, or what a person gives; nothing that an earlier run has left."""
        if port := self._stripe_port:
            return STRIPE_DOUBLE | {"STRIPE_API_BASE": f"http://localhost:{port}"}
        return dict.fromkeys([*STRIPE_DOUBLE, "STRIPE_API_BASE"], "")

    def _demo_file_move(self, before: str, after: str) -> None:
        if (file := self._run_dir / before).exists():
            file.replace(self._run_dir / after)


def demo_models_chosen() -> Sequence[DemoModel]:
    """What ENGINE asks for. Raises NoSuchEngine, and NoVllm before anything starts."""
    engine = os.environ.get("ENGINE") or Engine.LLAMACPP
    if engine not in DEMO_MODELS:
        raise NoSuchEngine(f"ENGINE={engine} is none of: {', '.join(DEMO_MODELS)}.")
    if engine == Engine.VLLM:
        serve.vllm_find()
    return DEMO_MODELS[Engine(engine)]


def stripe_is_double() -> bool:
    """Whether nobody gave a key of Stripe; an empty one is for no payments by card at all."""
    return local.given("STRIPE_API_KEY") is None


def port_check(variable: str, port: int) -> None:
    """Raises PortTaken when `port`, which the environment's `variable` sets, has a listener."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} is taken ({error.strerror}). Stop what listens there, or choose "
                f"another port: {variable}={port + 10} make up"
            ) from error


def _embedded_stores(run_dir: Path, secrets: Mapping[str, str]) -> dict[str, Server]:
    """The stores that no given server replaces, by the variable that would name it."""
    stores: dict[str, Server] = {
        "DATABASE_URL": Postgres(run_dir / "postgres", secrets["POSTGRES_PASSWORD"]),
        "VALKEY_URL": Valkey(run_dir / "valkey", secrets["VALKEY_PASSWORD"]),
    }
    return {name: store for name, store in stores.items() if not local.given(name)}


def _pings(broker_url: str) -> Ready:
    """Whether a Celery worker answers a ping."""
    control = Celery(broker=broker_url).control
    return lambda: asyncio.to_thread(lambda: bool(control.ping(timeout=0.3)))


def _written_lately(folder: Path) -> Ready:
    """Whether a file in `folder` was written in the last seconds: beat does so once started."""

    def is_fresh() -> bool:
        times = (file.stat().st_mtime for file in folder.iterdir())
        return time.time() - max(times, default=0) < JUST_NOW_S

    return lambda: asyncio.to_thread(is_fresh)


def _answers(port: int, path: str) -> Ready:
    """Whether a GET of `path` on `port` gives 200."""

    async def is_ready() -> bool:
        try:
            async with asyncio.timeout(5):
                return await _status(port, path) == 200
        except (OSError, TimeoutError):
            return False

    return is_ready


async def _status(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1]) if line else 0
