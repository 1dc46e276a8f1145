"""Processes that are killed, frozen and started again, each with all that it started itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit
from threading import Thread
from time import monotonic, sleep
from typing import Final, override

import psutil

from console.embedded import Identity, Server

ROOT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 20
PLAY_TIMEOUT_S: Final = 600


def wait_until[T](found: Callable[[], T], what: str, timeout_s: float = 60) -> T:
    """The first true value of `found`; AssertionError past `timeout_s`."""
    deadline = monotonic() + timeout_s
    while not (value := found()):
        assert monotonic() < deadline, f"after {timeout_s} s not yet: {what}"
        sleep(0.02)
    return value


class Process:
    """`argv`, which may be started again and again. What it says goes to a log in `folder`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        folder: Path,
        is_ready: Callable[[], bool] = lambda: True,
        *,
        identity: Identity | None = None,
        cwd: Path = ROOT,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name, self._argv, self._is_ready = name, argv, is_ready
        self._log = folder / f"{name}.log"
        self._identity, self._cwd, self._stop_signal = identity or {}, cwd, stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of_server(cls, server: Server, folder: Path) -> Process:
        server.prepare()
        return cls(
            server.data_dir.name, server.argv, folder, server.is_ready, identity=server.identity,
            cwd=Path("/"), stop_signal=server.stop_signal,
        )  # fmt: skip

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pids(self) -> list[int]:
        """Its own first."""
        return [one.pid for one in self._tree()]

    def begin(self) -> None:
        """Start it, unless it runs; `await_ready` waits for it."""
        if self.is_running:
            return
        self._process = subprocess.Popen(  # noqa: S603 - our own
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self._cwd,
            start_new_session=True, **self._identity,
        )  # fmt: skip
        # By a pipe: a limit on the size of its files must not keep it from saying so.
        Thread(target=self._copy, args=(self._process,), daemon=True).start()

    def await_ready(self) -> None:
        """One that ends meanwhile is started again, as a supervisor would."""
        wait_until(self._is_up, f"{self.name} is ready ({self._log})", START_TIMEOUT_S)

    def start(self) -> None:
        self.begin()
        self.await_ready()

    def stop(self) -> None:
        """As an operator stops it."""
        if self._process and self.is_running:
            tree = self._tree()
            self._process.send_signal(self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
            _kill(tree)
            self._process.wait()

    def kill(self) -> None:
        """All of it at the same time: stopped first, so that no part sees another one die."""
        if self._process and self.is_running:
            self._process.send_signal(signal.SIGSTOP)
            _kill(self._tree())
            self._process.wait()

    def crash(self) -> None:
        """What it started dies; it is left to start it again."""
        _kill(self._tree()[1:])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing, and neither ends nor closes anything. It may be killed meanwhile."""
        tree = self._tree()
        _send(tree, signal.SIGSTOP)
        try:
            yield
        finally:
            _send(tree, signal.SIGCONT)

    @contextmanager
    def without_disk(self) -> Iterator[None]:
        """Whatever it writes to a file fails, as on a disk that broke."""
        pids = self.pids
        for pid in pids:
            prlimit(pid, RLIMIT_FSIZE, (1, RLIM_INFINITY))
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    prlimit(pid, RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))

    def _is_up(self) -> bool:
        self.begin()
        return self._is_ready()

    def _tree(self) -> list[psutil.Process]:
        if not self._process or not self.is_running:
            return []
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _copy(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout, self._log.open("ab", buffering=0) as log:
            for line in process.stdout:
                log.write(line)

    @override
    def __repr__(self) -> str:
        return f"<Process {self.name}>"


def played(module: str, *options: str) -> tuple[str, int]:
    """What a module says as a process of its own, and its exit status. One that takes too long ends
    what it has started.
    """
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-m", module, *options], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=PLAY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            said, _ = process.communicate()
        return said, process.returncode


def answers(url: str) -> bool:
    """Whether a GET of `url` gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
            return True
    except (urllib.error.URLError, OSError):
        return False


def _kill(tree: Sequence[psutil.Process]) -> None:
    _send(tree, signal.SIGKILL)
    wait_until(lambda: not any(map(_lives, tree)), "all is dead")


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _send(tree: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
