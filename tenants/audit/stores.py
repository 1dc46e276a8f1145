"""Where anchors are kept, outside the database: a folder, named by `AUDIT_ANCHOR_URL`.

A store takes an anchor once and never changes it. The folder should be on another machine, where
files can be added and not changed: an append-only mount, or one that is synced into a bucket with
object lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_PREFIX: Final = "anchor-"
_SUFFIX: Final = ".json"


class AnchorStore(Protocol):
    def write(self, number: int, document: str) -> None:
        """Keep it for good. Raises FileExistsError where there is one of this number."""

    def read(self, number: int) -> str | None:
        """None where there is none."""

    def numbers(self) -> Iterator[int]:
        """Of all that are kept, the first first."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A file for each anchor, a thousand to a folder; read-only as soon as it is there."""

    root: Path

    def write(self, number: int, document: str) -> None:
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        with part.open("w") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o444)
        try:
            path.hardlink_to(part)  # unlike a rename, it never takes the place of another
        finally:
            part.unlink()

    def read(self, number: int) -> str | None:
        path = self._path(number)
        return path.read_text() if path.exists() else None

    def numbers(self) -> Iterator[int]:
        for path in sorted(self.root.glob(f"*/{_PREFIX}*{_SUFFIX}")):
            yield int(path.stem.removeprefix(_PREFIX))

    def _path(self, number: int) -> Path:
        return self.root / f"{number // 1000:09}" / f"{_PREFIX}{number:012}{_SUFFIX}"


def anchor_store() -> AnchorStore:
    """Raises ImproperlyConfigured for an address of another kind."""
    parts = urlsplit(settings.AUDIT_ANCHOR_URL)
    if parts.scheme != "file" or not parts.path:
        raise ImproperlyConfigured("AUDIT_ANCHOR_URL is a folder: file:///var/lib/sluice/anchors.")
    return Folder(Path(unquote(parts.path)))
