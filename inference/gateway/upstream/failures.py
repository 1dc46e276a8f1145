"""How a call of an engine fails."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Failure(StrEnum):
    """What went wrong, as logs and metrics name it."""

    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    LOST = "lost"
    CLOSED = "closed"
    BAD_HTTP = "bad_http"
    HEAD_TOO_LARGE = "head_too_large"
    TOO_LARGE = "too_large"


class Timeouts(NamedTuple):
    """How long to wait for a connection, for the first byte of a body, and between two.

    Without `first_byte_s` only the caller's limit for the whole holds.
    """

    connect_s: float
    first_byte_s: float | None
    idle_s: float


class Unreachable(Exception):  # noqa: N818
    """The backend gave no answer, or broke off in the middle of one.

    `kind` is a short constant, and never holds what an engine said.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = str(kind)
