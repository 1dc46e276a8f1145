"""CPU time and memory of a process and its children, and of a core, from /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") / 1024
PARENT, USER_TICKS, SYSTEM_TICKS, PAGES = 1, 11, 12, 21
"""Places in /proc/<pid>/stat after the name of the program."""


def cpu_s(pid: int) -> float:
    """User and system time so far of `pid` and its living children, in seconds."""
    stats = _tree(pid)
    return sum(stat[USER_TICKS] + stat[SYSTEM_TICKS] for stat in stats) / TICKS_PER_S


def memory_kb(pid: int) -> float:
    """Resident memory of `pid` and its living children, in kB."""
    return sum(stat[PAGES] for stat in _tree(pid)) * PAGE_KB


def core_cpu_s(core: int) -> float:
    """User and system time so far of all processes on `core`, in seconds; kernel's own excluded."""
    lines = Path("/proc/stat").read_text().splitlines()
    ticks = next(line.split()[1:4] for line in lines if line.startswith(f"cpu{core} "))
    return sum(int(number) for number in ticks) / TICKS_PER_S


def _tree(pid: int) -> list[list[int]]:
    stats = {int(path.name): _stat(path) for path in Path("/proc").glob("[0-9]*")}
    family = [pid]
    for member in family:  # grows while it is read
        family += [child for child, stat in stats.items() if stat and stat[PARENT] == member]
    return [stat for member in family if (stat := stats.get(member))]


def _stat(path: Path) -> list[int]:
    """The numbers after the name and the state; none when the process has gone."""
    try:
        text = (path / "stat").read_text()
    except OSError:
        return []
    return [0, *(int(number) for number in text.rpartition(")")[2].split()[1:])]
