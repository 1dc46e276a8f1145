"""One hash over many lines of text, in their order (RFC 6962): none can change without it."""

from __future__ import annotations

from hashlib import sha256

_LEAF = b"\0"
_NODE = b"\1"


class Merkle:
    """Grows by one line at a time, and keeps but one hash for each height of its tree."""

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[bytes] = []

    def add(self, line: bytes) -> None:
        self.add_leaf(leaf(line))

    def add_leaf(self, hashed: bytes) -> None:
        self.count += 1
        full = self.count
        while not full & 1:
            hashed = sha256(_NODE + self._peaks.pop() + hashed).digest()
            full >>= 1
        self._peaks.append(hashed)

    @property
    def root(self) -> str:
        """In hex; of nothing it is the hash of nothing."""
        if not self._peaks:
            return sha256().hexdigest()
        *left, root = self._peaks
        for peak in reversed(left):
            root = sha256(_NODE + peak + root).digest()
        return root.hex()


def leaf(line: bytes) -> bytes:
    return sha256(_LEAF + line).digest()
