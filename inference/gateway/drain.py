"""How a gateway process stops: what runs is finished, and what takes too long is cut cleanly."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

import structlog
from django.conf import settings

from inference.gateway.lifeline import Lifeline

AGAIN_S: Final = 0.2

log = structlog.get_logger()


class Drain:
    """On SIGTERM the process says that it is not ready, and goes on for GATEWAY_DRAIN_DELAY_S, so
    that whoever balances the load learns of it. Then the server takes no more connections, and
    waits for the requests that run. Those still there after GATEWAY_DRAIN_S, or at a second
    SIGTERM, are cut.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.lifelines = set[Lifeline]()
        self._is_closed = False

    def start(self) -> None:
        """Hear SIGTERM in place of the server."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGTERM, self.begin)

    def begin(self) -> None:
        if self.is_on:
            self._cut()
            return
        self.is_on = True
        delay_s: float = settings.GATEWAY_DRAIN_DELAY_S
        log.info("drain.begin", running=len(self.lifelines))
        self._loop.call_later(delay_s, self._close)
        self._loop.call_later(delay_s + settings.GATEWAY_DRAIN_S, self._cut)

    def _close(self) -> None:
        """Let the server stop as it does: it still hears SIGINT."""
        if not self._is_closed:
            self._is_closed = True
            signal.raise_signal(signal.SIGINT)

    def _cut(self) -> None:
        """End all that runs, also what begins from now on: its body was still on its way."""
        self._close()
        if self.lifelines:
            log.warning("drain.cut", running=len(self.lifelines))
        for lifeline in tuple(self.lifelines):
            lifeline.cut()
        self._loop.call_later(AGAIN_S, self._cut)
