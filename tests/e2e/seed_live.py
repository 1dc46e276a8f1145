"""What gateways leave in Valkey on a busy day: one backend well, one with its breaker open, one
that does not answer, and a queue.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from inference.live import LoadSeen
from inference.models import Backend
from tests.conftest import Cast
from tests.console.operator.live_rows import (
    breaker_said,
    checks_said,
    gateway_said,
    queue,
    served,
    turned,
)

MINUTE: Final = timedelta(minutes=1)
HOURS: Final = 6
AHEAD: Final = timedelta(minutes=10)
"""Gateways speak four times a second, and here only once: so they do from the future."""


def seed_live(cast: Cast) -> None:
    now = timezone.now()
    well, open_, down = Backend.objects.filter(name__startswith="lulea-gpu-").order_by("name")
    for backend, load in ((well, (46, 2, 0.624)), (open_, (0, 0, 0.0))):
        named = tuple(backend.deployments.values_list("engine_model", flat=True))
        checks_said(backend, *[True] * 20, load=LoadSeen(now + AHEAD, *load), models=named)
    checks_said(down, *[False] * 6, *[True] * 14, is_down=True)
    for at in range(HOURS * 60):
        _minute(well, now - at * MINUTE, at)
        if at > 19:
            _minute(open_, now - at * MINUTE, at)
    _story(open_, now)
    turned(down, now - timedelta(seconds=25), "down", "Could not connect.")
    gateway_said(
        queue(cast.acme, model="gpt-oss-120b", waiting=38, oldest_s=2.41, in_flight=52, share=1),
        queue(cast.rival, model="gpt-oss-120b", waiting=2, oldest_s=0.32, in_flight=3, share=4),
        queue(cast.rival, model="qwen3-32b", waiting=1, oldest_s=0.1, in_flight=7, share=4),
        in_flight={well: 48},
        at=now + AHEAD,
    )


def _minute(backend: Backend, moment: datetime, at: int) -> None:
    """Busier and quieter, with some errors 40 minutes ago, and the same at every run."""
    dice = random.Random(f"{backend.name} {at}")  # noqa: S311 - no secret
    busy = (1.2 + math.sin(at / 25)) / 2.2 * dice.uniform(0.85, 1.1)
    requests = round(220 * busy)
    served(
        backend,
        moment,
        requests=requests,
        errors=requests // 12 if 38 < at < 43 or at == 20 else 0,
        in_flight=round(60 * busy),
        waiting=max(0, round(22 * busy - 12)),
        kv_use=0.8 * busy,
        ttft_ms=40 + 260 * busy,
        prefix_queries=requests * 1100,
        prefix_hits=round(requests * 1100 * dice.uniform(0.55, 0.68)),
    )


def _story(backend: Backend, now: datetime) -> None:
    """Two outages; the second one goes on."""
    for minutes, state, reason in (
        (200, "down", "Could not connect."),
        (188, "up", ""),
        (131, "open", "5 failures in a row"),
        (130, "half_open", ""),
        (129, "open", "the trial failed"),
        (121, "half_open", ""),
        (120, "closed", "the trial went well"),
        (19, "open", "6 of 11 failed in 30 s"),
    ):
        turned(backend, now - minutes * MINUTE, state, reason)
    breaker_said(backend, "open", now - 19 * MINUTE, now + timedelta(seconds=14))
