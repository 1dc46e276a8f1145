"""One vLLM as a backend: started, announced to the gateways, watched, drained and stopped."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from asgiref.sync import sync_to_async
from django.db import Error, connection

from console.supervisor import die_with_parent
from inference import control
from inference.engines import serve
from inference.engines.serve import Serving
from inference.models import Backend, BackendState, Deployment, Engine, Model, Region
from tenants.sealing import unseal

POLL_S: Final = 0.5
REPORT_EVERY_S: Final = 60
ROUTES_CHANGE_S: Final = 2
"""The gateways hear within a second that a backend drains."""
KILL_AFTER_S: Final = serve.SHUTDOWN_S + 15


class EngineEnded(Exception):  # noqa: N818 - told to a person
    """The engine ended, or did not begin to answer."""


class NoRegion(Exception):  # noqa: N818 - told to a person
    """A new backend stands nowhere."""


@dataclass(frozen=True)
class Limits:
    start_s: int
    drain_s: int


class EngineRunner:
    """`run` starts the engine and watches it until it is cancelled; then `stop` has to follow."""

    def __init__(
        self,
        serving: Serving,
        *,
        backend: str,
        region: str | None,
        limits: Limits,
        say: Callable[[str], None],
    ) -> None:
        self._serving, self._limits, self._say = serving, limits, say
        self._name, self._region = backend, region
        self._key = secrets.token_urlsafe(32)
        self._process: Process | None = None

    async def run(self) -> None:
        """Raises NoRegion, NoVllm or EngineEnded."""
        await _in_database(region_find, self._name, self._region)
        self._process = await self._spawn()
        await self._until_ready()
        serve.give_way(self._process.pid)
        await _in_database(self._announce)
        await self._watch()

    async def stop(self) -> None:
        """Send it no more work, let what runs finish, and end the engine."""
        if self._process is None:
            return
        if self._process.returncode is None and await self._set_state(BackendState.DRAINING):
            await self._drain()
        await self._end(self._process)
        await self._set_state(BackendState.DISABLED)
        self._say("Stopped.")

    async def _spawn(self) -> Process:
        """In a session of its own: Ctrl-C must not reach it before it has drained."""
        self._say(f"Starting vLLM with {self._serving.model} on port {self._serving.port}")
        return await asyncio.create_subprocess_exec(
            *self._serving.argv(),
            env=os.environ | serve.environment(self._key),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )

    async def _until_ready(self) -> None:
        began = time.monotonic()
        while not await serve.is_healthy(self._serving.url):
            self._check_alive()
            if time.monotonic() - began > self._limits.start_s:
                raise EngineEnded(f"vLLM did not answer within {self._limits.start_s} s.")
            await asyncio.sleep(POLL_S)
        self._check_alive()  # else it was another server that answered
        if not await serve.warm_up(self._serving.url, self._key, self._serving.name):
            self._say("vLLM is healthy, but its first answer was an error: see above.")
        self._say(f"vLLM is ready after {time.monotonic() - began:.0f} s.")

    def _check_alive(self) -> None:
        if self._process is not None and (code := self._process.returncode) is not None:
            raise EngineEnded(f"vLLM ended with status {code}; what it wrote says why.")

    def _announce(self) -> None:
        backend = backend_announce(self._serving, self._key, self._name, self._region)
        if model_deploy(self._serving, backend):
            self._say(f"{self._serving.name} is served by the backend {backend.name}.")
        else:
            self._say(
                f"The catalog has no model {self._serving.name}: add it at Operator ▸ Models, "
                f"served by the backend {backend.name}."
            )

    async def _watch(self) -> None:
        """Tell how it does now and then. Raises EngineEnded when it is over."""
        reported = 0.0
        while True:
            self._check_alive()
            if time.monotonic() - reported > REPORT_EVERY_S:
                reported = time.monotonic()
                self._say(f"{self._name}: {await self._health()}")
            await asyncio.sleep(POLL_S)

    async def _health(self) -> str:
        if not await serve.is_healthy(self._serving.url):
            return "does not answer"
        load = await serve.load_read(self._serving.url)
        return f"healthy, {load.running} running, {load.waiting} waiting" if load else "healthy"

    async def _drain(self) -> None:
        self._say(f"Draining for at most {self._limits.drain_s} s.")
        began = time.monotonic()
        await asyncio.sleep(min(ROUTES_CHANGE_S, self._limits.drain_s))
        while time.monotonic() - began < self._limits.drain_s:
            load = await serve.load_read(self._serving.url)
            if load is None or load.running + load.waiting == 0:
                return
            await asyncio.sleep(POLL_S)
        self._say("Some requests still run; vLLM is told to end.")

    async def _end(self, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), KILL_AFTER_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    async def _set_state(self, state: BackendState) -> bool:
        """Whether it was done: a database that is away keeps no engine from being stopped."""
        try:
            return await _in_database(backend_set_state, self._name, self._key, state)
        except Error as error:
            self._say(f"The backend is not recorded as {state}: {error}")
            return False


def region_find(backend: str, code: str | None) -> Region:
    """Where `backend` stands or, when it is new, will stand. Raises NoRegion."""
    if known := Backend.objects.filter(name=backend).select_related("region").first():
        return known.region
    codes = list(Region.objects.values_list("code", flat=True))
    if code is None and len(codes) == 1:
        code = codes[0]
    if code not in codes:
        choices = ", ".join(codes) or "none: add one at Operator ▸ Backends ▸ Add backend"
        raise NoRegion(f"Say where the new backend stands with --region. There are: {choices}.")
    return Region.objects.get(code=code)


def backend_announce(serving: Serving, key: str, name: str, region: str | None) -> Backend:
    """The backend `name`, new or moved here, which takes work from now on."""
    known = Backend.objects.filter(name=name).first()
    if known is None:
        return control.backend_register(
            actor=None, name=name, base_url=serving.url, engine=Engine.VLLM,
            region=region_find(name, region), key=key,
        )  # fmt: skip
    moved = control.backend_move(actor=None, backend=known, base_url=serving.url, key=key)
    if moved.state == BackendState.ACTIVE:
        return moved
    return control.backend_set_state(actor=None, backend=moved, state=BackendState.ACTIVE)


def backend_set_state(name: str, key: str, state: BackendState) -> bool:
    """False when the backend is not ours by now: another engine runs under its name."""
    backend = Backend.objects.filter(name=name).first()
    if backend is None or unseal(bytes(backend.sealed_key)) != key:
        return False
    control.backend_set_state(actor=None, backend=backend, state=state)
    return True


def model_deploy(serving: Serving, backend: Backend) -> bool:
    """Have `backend` serve the catalog's model; False when the catalog has none."""
    model = Model.objects.filter(public_id=serving.name).first()
    if model is None:
        return False
    name, flags = serving.name, " ".join(serving.flags)
    known = Deployment.objects.filter(model=model, backend=backend).first()
    if known is None:
        control.model_deploy(
            actor=None, model=model, backend=backend, engine_model=name, engine_flags=flags
        )
    else:
        control.deployment_update(
            actor=None, deployment=known, engine_model=name, engine_flags=flags
        )
    return True


async def _in_database[**P, T](act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do `act`, and keep no connection: the next act may be days away."""

    def do() -> T:
        try:
            return act(*args, **kwargs)
        finally:
            connection.close()

    return await sync_to_async(do)()
