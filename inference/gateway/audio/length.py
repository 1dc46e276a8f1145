"""How long a file of audio can be at most, from its first bytes and its size."""

from __future__ import annotations

import struct
from typing import Final

LEAST_BYTES_PER_S: Final = 125
"""Of speech in any codec that engines read: a kilobit."""
_FLAC_RATE_AT: Final = 18
_RIFF_HEAD: Final = 12
MAX_CHUNKS: Final = 64


def seconds_most(file: memoryview) -> int:
    """Whole seconds, rounded up. Plain samples tell exactly, what is compressed by its size."""
    head = bytes(file[:4096])
    if head.startswith(b"RIFF") and (byte_rate := _wav_byte_rate(head)):
        return -(-len(file) // byte_rate)
    return max(-(-len(file) // LEAST_BYTES_PER_S), _flac_seconds(head))


def _wav_byte_rate(head: bytes) -> int:
    """Of plain samples; 0 of others. What the file says of its own rate is worked out anew."""
    position = _RIFF_HEAD
    for _ in range(MAX_CHUNKS):
        if position + 24 > len(head):
            return 0
        name, size = struct.unpack_from("<4sI", head, position)
        if name == b"fmt ":
            kind, channels, rate, _bytes, _align, bits = struct.unpack_from(
                "<HHIIHH", head, position + 8
            )
            return rate * channels * bits // 8 if kind in {1, 3, 0xFFFE} else 0
        position += 8 + size + size % 2
    return 0


def _flac_seconds(head: bytes) -> int:
    """What a FLAC says of itself: silence takes next to no bytes in it."""
    if not head.startswith(b"fLaC") or len(head) < _FLAC_RATE_AT + 8:
        return 0
    packed = int.from_bytes(head[_FLAC_RATE_AT : _FLAC_RATE_AT + 8])
    rate, samples = packed >> 44, packed & (2**36 - 1)
    return -(-samples // rate) if rate else 0
