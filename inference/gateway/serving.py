"""How granian serves an application: options for all who start it, and the gateway's own server.

Only HTTP/1: to tell HTTP/2 apart the server would wait for the first bytes of a connection, and
there for ever. So a connection that is silent, or slow with its headers, is closed in time.
"""

from __future__ import annotations

import os
from math import ceil
from threading import Timer
from typing import Any, Final, override

from granian.server import MPServer

HEADERS_TIMEOUT_MS: Final = 30_000
MAX_CONNECTIONS: Final = 4096
"""Of one process, idle ones included; more wait for their turn in the kernel."""
SWITCH_S: Final = 0.0005
"""So long a thread waits for the loop at most. With CPython's own 5 ms, the spool's would wait that
long before its disk is asked, and again when it has answered."""
SETTLE_S: Final = 10
"""What has not ended so long after it was cut is killed."""

OPTIONS: Final = (
    "--loop=uvloop",
    "--workers=1",
    "--http=1",
    "--no-ws",
    f"--http1-header-read-timeout={HEADERS_TIMEOUT_MS}",
)


def take_turns() -> None:
    """Let no thread of this process that wakes push another one aside, nor any other process.

    The server's threads, the spool's and the loop wake each other several times for a request. On
    a core of their own whoever runs ends what it does, and then serves all that came meanwhile.
    """
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # threads to come inherit it


class GatewayServer(MPServer):
    """Starts the worker processes, starts again those that die, and stops all.

    The first SIGTERM or SIGINT drains them (see `drain.py`), the second cuts what runs.
    """

    def __init__(self, target: str, *, drain_s: float, **options: Any) -> None:
        super().__init__(target, workers_kill_timeout=ceil(drain_s) + SETTLE_S, **options)

    @override
    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        if os.getpid() != self.pid:  # a worker that is still starting has this from its parent
            os._exit(0)
        if self.interrupt_signal:
            self._each("terminate")
            killer = Timer(SETTLE_S, self._each, ("kill",))
            killer.daemon = True
            killer.start()
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _each(self, order: str) -> None:
        for worker in list(self.wrks):
            getattr(worker, order)()
