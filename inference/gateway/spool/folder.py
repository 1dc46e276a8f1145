"""The folder of one gateway process: its segments, and the lock that says that it lives.

A folder has one owner for ever. Who holds the lock of a folder of another may do with it as with
its own: the owner is dead.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from uuid import uuid4

OPEN: Final = ".spool"
BOOKED: Final = ".booked"
"""PostgreSQL has all of this segment; it stays for a while only in case PostgreSQL loses it."""
_LOCK: Final = "lock"
_UNBORN: Final = "."
_NAME: Final = re.compile(r"[^.].*\.[0-9a-f]{12}")
"""Of a folder of ours: others may stand beside them, as `lost+found` does on a disk of its own."""


class Folder:
    """A folder whose lock is held, until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock

    @classmethod
    def create(cls, root: Path, gateway: str, name: str = "") -> Self:
        """A new one. It appears with its lock taken, so that nobody takes it for left.

        `name` is a `life_of` its gateway.
        """
        name = name or life_of(gateway)
        unborn = root / f"{_UNBORN}{name}"
        unborn.mkdir(parents=True)
        lock = os.open(unborn / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = unborn.rename(root / name)
        sync(root)
        return cls(path, lock)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """The folder at `path`; None while its owner lives."""
        try:
            lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if not os.fstat(lock).st_nlink:  # it was removed while we waited for our turn
            os.close(lock)
            return None
        return cls(path, lock)

    def segments(self, suffix: str) -> list[Path]:
        """Oldest first."""
        return sorted(self.path.glob(f"*{suffix}"))

    def close(self) -> None:
        os.close(self._lock)

    def remove(self) -> None:
        """Let go of it, and remove it if it holds nothing any more."""
        if os.listdir(self.path) == [_LOCK]:
            (self.path / _LOCK).unlink()
            with suppress(OSError):  # somebody looked at it just now, and takes it over
                self.path.rmdir()
        self.close()


def life_of(gateway: str) -> str:
    """A name for a process that no other has or had: `gateway` may be that of its successor too."""
    return f"{gateway.replace('/', '_')}.{uuid4().hex[:12]}"


def folders(root: Path) -> Iterator[Path]:
    """Of all gateways, dead or alive."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if _NAME.fullmatch(path.name) and path.is_dir():
            yield path


def sync(path: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
