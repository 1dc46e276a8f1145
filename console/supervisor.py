"""Runs services: starts them, keeps their logs, starts again what dies, stops them all.

Why not a library: `docs/decisions/0003-a-supervisor-of-our-own.md`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, override

from console.embedded import Identity

LOG_MAX_BYTES: Final = 10_000_000
START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 10
FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30
HEALTHY_AFTER_S: Final = 60
"""A service that has run this long starts again without delay."""

_READY_POLL_S: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


type Ready = Callable[[], Awaitable[bool]]
"""Whether a service takes work by now. It is asked again and again, and must answer soon."""


class StartFailed(Exception):  # noqa: N818 - the service's failure, told to a person
    """A service ended or did not answer while it was first started."""


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Do `works` side by side. The first StartFailed cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                _ = tasks.create_task(work)
    except* StartFailed as failed:
        raise failed.exceptions[0] from None


async def at_once() -> bool:
    """The readiness of a service that nobody waits for."""
    return True


@dataclass(frozen=True)
class Service:
    """A process to keep running. `is_ready` is asked until it is true."""

    name: str
    argv: Sequence[str]
    is_ready: Ready = at_once
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path = Path("/")
    identity: Identity = field(default_factory=Identity)
    stop_signal: signal.Signals = signal.SIGTERM
    start_timeout_s: float = START_TIMEOUT_S


class BoundedLog:
    """A log file and the one before it, together at most twice `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int = LOG_MAX_BYTES) -> None:
        self.path, self._max_bytes = path, max_bytes
        self._file = path.open("ab")

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > self._max_bytes:
            self._file.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._file = self.path.open("ab")
        self._file.write(data)
        self._file.flush()

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.path.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        self._file.close()


class Keeper:
    """Keeps one service running until it is told to stop."""

    def __init__(self, service: Service, log: BoundedLog, say: Callable[[str], None]) -> None:
        self.service = service
        self._log, self._say = log, say
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self._copying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the service and wait until it is ready. Raises StartFailed."""
        if not await self._run_until_ready():
            await self.stop()
            raise self._failed()
        self._keeping = asyncio.create_task(self._keep())

    async def run(self) -> None:
        """Run the service once, to its end. Raises StartFailed unless it exits with 0."""
        self._process = await self._spawn()
        code = await self._process.wait()
        await self.stop()
        if code != 0:
            raise self._failed()

    async def stop(self) -> None:
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(self.service.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        self._kill_group()
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        if self._copying is not None:
            await asyncio.wait({self._copying}, timeout=1)
        self._log.close()

    def _failed(self) -> StartFailed:
        return StartFailed(
            f"{self.service.name} failed. {self._log.path} ends:\n{self._log.tail()}"
        )

    async def _keep(self) -> None:
        """Wait for the end of the process and start it again, later each time it dies young."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            ended = await self._end()
            if self._stopping:
                return
            if time.monotonic() - began > HEALTHY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            name = self.service.name
            self._say(f"{name} died ({ended}); starting it again in {backoff_s:g} s")
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
            if await self._run_until_ready():
                self._say(f"{name} is back")

    async def _run_until_ready(self) -> bool:
        self._process = await self._spawn()
        deadline = time.monotonic() + self.service.start_timeout_s
        while self._process.returncode is None and time.monotonic() < deadline:
            if await self._is_ready():
                return self._process.returncode is None
            await asyncio.sleep(_READY_POLL_S)
        self._kill_group()
        return False

    async def _is_ready(self) -> bool:
        """A check that breaks says no: what it asks may be down itself."""
        try:
            return await self.service.is_ready()
        except Exception:
            return False

    async def _spawn(self) -> asyncio.subprocess.Process:
        """The pipe is our own: with asyncio's, `wait` would wait for its last writer as well."""
        service, (output, its_end) = self.service, os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *service.argv,
                env=dict(service.env),
                cwd=service.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=its_end,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor, which stops in order
                preexec_fn=die_with_parent(service.stop_signal),
                **service.identity,
            )
        finally:
            os.close(its_end)
        self._copying = asyncio.create_task(self._copy(output))
        return process

    async def _copy(self, output: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader),
            open(output, "rb", buffering=0),  # noqa: ASYNC230, SIM115
        )
        with closing(transport):
            while data := await reader.read(65536):
                self._log.write(data)

    async def _end(self) -> str:
        """How the process ended, in words. What it leaves behind ends with it."""
        if self._process is None:
            return "not started"
        code = await self._process.wait()
        if not self._stopping:
            self._kill_group()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    @override
    def __repr__(self) -> str:
        return f"<Keeper {self.service.name}>"


class Supervisor:
    """Runs groups of services: a group starts at once, and groups stop in reverse order."""

    def __init__(self, log_dir: Path, say: Callable[[str], None]) -> None:
        self._log_dir, self._say = log_dir, say
        self._groups: list[list[Keeper]] = []
        log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self, *services: Service) -> None:
        """Start `services` side by side and wait until all are ready. Raises StartFailed."""
        group = [self._keeper(service) for service in services]
        self._groups.append(group)
        await together(*(keeper.start() for keeper in group))

    async def run(self, service: Service) -> None:
        """Run `service` once, to its end. Raises StartFailed unless it exits with 0."""
        keeper = self._keeper(service)
        self._groups.append([keeper])
        await keeper.run()

    async def stop(self) -> None:
        while self._groups:
            await asyncio.gather(*(keeper.stop() for keeper in self._groups.pop()))

    def _keeper(self, service: Service) -> Keeper:
        return Keeper(service, BoundedLog(self._log_dir / f"{service.name}.log"), self._say)


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Linux sends `number` to the child when the supervisor is gone, however it went."""
    if _LIBC is None:
        return None
    libc = _LIBC
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, number)
