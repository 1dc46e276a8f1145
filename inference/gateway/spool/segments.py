"""Writing the segments of one process. All of it blocks; see `committer.py`.

A segment gets its room on the disk when it begins. To make a record last then takes one write of
data; to append would have the file system write its size as well, half as long again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from inference.gateway.spool.folder import OPEN, Folder, sync
from inference.gateway.spool.records import VERSION, Header, frame

SEGMENT_BYTES: Final = 16 << 20

type Installation = Callable[[], UUID | None]
"""Names the database that records go to; None before it is known, when nothing is served."""


class Appender:
    """Writes to the newest segment of `folder`, and begins another when it is full.

    After an error the segment is left as it is, for its tail may be torn, and what a failed sync
    had to write may be gone: the caller appends the same again, and it goes into a new one.
    """

    def __init__(
        self,
        folder: Folder,
        gateway: str,
        segment_bytes: int = SEGMENT_BYTES,
        installation: Installation = lambda: None,
    ) -> None:
        self._folder, self._gateway = folder, gateway
        self._segment_bytes, self._installation = segment_bytes, installation
        self._owner: UUID | None = None
        self.number = self.size = 0
        self._handle, self._path = -1, folder.path
        self._kept = 0
        self._is_loose = False
        self._sealed: list[Path] = []

    def append(self, frames: bytes, *, lasts: bool) -> None:
        """Write `frames`, and wait until the disk has them, and all before, if they are to last.

        Raises OSError.
        """
        is_full = self.size + len(frames) > self._segment_bytes
        if self._handle >= 0 and (is_full or self._owner != self._installation()):
            self.seal()
        try:
            if self._handle < 0:
                self._begin()
            self._write(frames, os.RWF_DSYNC if lasts and not self._is_loose else 0)
            if lasts and self._is_loose:  # a write syncs no bytes but its own
                os.fdatasync(self._handle)
        except OSError:
            self._is_loose = False
            self.seal()
            raise
        self._is_loose, self._kept = not lasts, self.size

    def seal(self) -> None:
        """End the segment; the next `append` begins another. Raises OSError."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        try:
            if self._is_loose:  # to last, by a word that comes when it is the next one's turn
                os.fdatasync(handle)
            if self._kept:
                self._sealed.append(self._path)
                os.ftruncate(handle, self.size)
            else:
                self._path.unlink()
        finally:
            os.close(handle)

    def sealed_take(self) -> list[Path]:
        """The segments that were ended since the last call."""
        sealed, self._sealed = self._sealed, []
        return sealed

    @property
    def free_bytes(self) -> int:
        """What the disk has left for us."""
        found = os.statvfs(self._folder.path)
        return found.f_bavail * found.f_frsize

    def _begin(self) -> None:
        self.size = self._kept = 0
        self._is_loose = False
        self.number += 1
        self._owner = self._installation()
        self._path = self._folder.path / f"{self.number:08}{OPEN}"
        self._handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.posix_fallocate(self._handle, 0, self._segment_bytes)
        self._write(frame(Header(VERSION, self._gateway, datetime.now(UTC), self._owner)), 0)
        os.fsync(self._handle)
        sync(self._folder.path)

    def _write(self, frames: bytes, flags: int) -> None:
        written = os.pwritev(self._handle, [frames], self.size, flags)
        self.size += written
        if written < len(frames):
            raise OSError(errno.ENOSPC, "the disk took a part only")
