"""A process that is forked off for one question, and ends with the answer."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

MORE_BYTES: Final = 1 << 30
WAIT_S: Final = 600
AGAIN_S: Final = 30
"""What takes too long is told so, and after this again."""
MOST_S: Final = 1800


class TimeUp(BaseException):
    """What runs is to end; not to be caught by it."""


def asked(question: Callable[[], str]) -> str | None:
    """What `question` answers in a process of its own; None when that died, or took too long."""
    sys.stdout.flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that it does not need
        child = os.fork()
    if not child:
        _answer(question, writing)
    os.close(writing)
    try:
        return _read(reading)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def cpu_limit(seconds: float) -> None:
    """From here on, this process may compute so long, and wait WAIT_S at most.

    After it TimeUp is raised wherever it is, so that it can leave everything in order.
    """
    for kind, limit in ((signal.ITIMER_PROF, seconds), (signal.ITIMER_REAL, WAIT_S)):
        signal.setitimer(kind, limit, AGAIN_S)


def _read(reading: int) -> str | None:
    """Up to a line's end: who writes less has died."""
    said = b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], MOST_S)
        if not (some := os.read(reading, 4096) if ready else b""):
            return None
        said += some
    return said.decode().rstrip("\n")


def _answer(question: Callable[[], str], writing: int) -> NoReturn:
    try:
        _confine()
        os.write(writing, f"{question()}\n".encode())
    finally:
        os._exit(0)


def _confine() -> None:
    def end(*_: object) -> None:
        raise TimeUp

    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, end)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
