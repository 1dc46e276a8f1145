"""Whether this process stood still for so long that others took it for dead.

Its requests were settled by then by what was last known of them. So what runs is cut before another
byte leaves, which nobody would count.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from inference.gateway.lifeline import Lifeline

LEASE_S: Final = 10.0
BEAT_S: Final = 1.0

log = structlog.get_logger()


class Vigil:
    """`until` is when it will have stood still for too long, by the clock of the loop."""

    def __init__(self, running: set[Lifeline]) -> None:
        self._running = running
        self._loop = asyncio.get_running_loop()
        self.until = self._loop.time() + LEASE_S

    def start(self) -> None:
        self._beat()

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        now = self._loop.time()
        if now > self.until:
            self.lapse()
        self.until = now + LEASE_S
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def lapse(self) -> None:
        """End all that runs."""
        log.error("vigil.lapsed", running=len(self._running))
        for lifeline in tuple(self._running):
            lifeline.lapse()
