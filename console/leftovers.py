"""Processes that a killed supervisor left running: found by their mark, and ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Final

import psutil

from console.local import MARK

GRACE_S: Final = 10


def leftovers_kill(run_dir: Path) -> int:
    """End the processes that carry the mark of `run_dir`, a supervisor apart; how many."""
    left = [process for process in psutil.process_iter() if _is_marked(process, run_dir)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGINT if process.name() == "postgres" else SIGTERM)
    for process in psutil.wait_procs(left, timeout=GRACE_S)[1]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(SIGKILL)
    return len(left)


def _is_marked(process: psutil.Process, run_dir: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(run_dir)
    except (psutil.Error, OSError):
        return False
