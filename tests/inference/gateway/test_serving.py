"""How the processes of a gateway run."""

from __future__ import annotations

import subprocess
import sys

_THREADS = """
import os
from threading import Thread
from inference.gateway.serving import take_turns
take_turns()
thread = Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_BATCH))
thread.start()
thread.join()
"""


def test_threads_that_start_later_take_turns_too() -> None:
    got = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _THREADS], capture_output=True, text=True, check=True
    )
    assert got.stdout == "True\n"
