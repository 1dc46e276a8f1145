"""What gateways leave in Valkey, as the pages find it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from inference.live import CheckSeen, LoadSeen, QueueSeen
from inference.live.minutes import PER_MILLE, backend_minute_key, ttft_bucket
from inference.live.seen import (
    BACKENDS,
    BREAKERS,
    GATEWAYS,
    BackendSaid,
    BreakerSaid,
    GatewaySaid,
    checks_key,
    encode,
    timeline_key,
)
from inference.models import Backend
from tenants.models import Organization
from tenants.valkey import client as valkey


def gateway_said(
    *queues: QueueSeen,
    in_flight: Mapping[Backend, int] | None = None,
    name: str = "a",
    at: datetime | None = None,
) -> None:
    """What one gateway tells `at` a time, now; it counts as gone 5 s later."""
    by_id = {backend.pk: count for backend, count in (in_flight or {}).items()}
    said = GatewaySaid(1, at or timezone.now(), by_id, queues)
    valkey().hset(GATEWAYS, name, encode(said))


def queue(organization: Organization, **facts: Any) -> QueueSeen:
    usual: dict[str, Any] = {
        "model": "acme/tiny", "waiting": 3, "oldest_s": 2.41, "in_flight": 4, "share": 1,
    }  # fmt: skip
    return QueueSeen(organization_id=organization.pk, **usual | facts)


def checks_said(
    backend: Backend,
    *results: bool,
    is_down: bool = False,
    load: LoadSeen | None = None,
    models: tuple[str, ...] = ("tiny",),
) -> None:
    """The last checks, newest first, each 5 s before the one it follows."""
    now = timezone.now()
    checks = [
        CheckSeen(ok, now - timedelta(seconds=5 * at), 12, "" if ok else "Could not connect.",
                  models if ok else ())
        for at, ok in enumerate(results)
    ]  # fmt: skip
    said = BackendSaid(is_down, checks[0] if checks else None, load)
    valkey().hset(BACKENDS, str(backend.pk), encode(said))
    for check in reversed(checks):
        valkey().lpush(checks_key(backend.pk), encode(check))


def breaker_said(backend: Backend, phase: str, since: datetime, until: datetime | None) -> None:
    said = BreakerSaid(phase, since, until, 1, "a")
    valkey().hset(BREAKERS, str(backend.pk), encode(said))


def turned(backend: Backend, at: datetime, state: str, reason: str = "") -> None:
    """A transition of the breaker or of the checks. The oldest is written first."""
    fields: Any = {"state": state, "reason": reason, "gateway": "host:1"}
    valkey().xadd(timeline_key(backend.pk), fields, id=f"{int(at.timestamp() * 1000)}-*")


def served(
    backend: Backend, at: datetime, *, ttft_ms: float = 0, kv_use: float | None = None, **sums: int
) -> None:
    """What happened there in the minute of `at`."""
    mapping: dict[Any, Any] = dict(sums)
    if ttft_ms:
        mapping[f"ttft:{ttft_bucket(ttft_ms)}"] = sums.get("requests", 1)
    if kv_use is not None:
        mapping["kv_use"] = round(kv_use * PER_MILLE)
    valkey().hset(backend_minute_key(backend.pk, at), mapping=mapping)
