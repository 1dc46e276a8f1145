"""What gateways tell each other and the pages through Valkey: its keys, and what stands in them."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

GATEWAYS: Final = "fleet:gateways"
"""A hash: gateway id -> GatewaySaid, which each writes at every beat."""
BREAKERS: Final = "fleet:breakers"
"""A hash: backend id -> BreakerSaid, of those that opened once."""
BACKENDS: Final = "fleet:backends"
"""A hash: backend id -> BackendSaid, from the one gateway that probes."""
PROBER: Final = "fleet:prober"
"""The id of the gateway that probes."""
CHECKS_KEPT: Final = 20
CHECK_COUNTS_S: Final = 30
"""Without a check for so long nobody is down: whoever checked is gone too."""
TRANSITIONS_KEPT: Final = 1000
DAY_S: Final = 24 * 3600
TIMELINE_KEPT_S: Final = 7 * DAY_S


def checks_key(backend_id: UUID) -> str:
    """A list of CheckSeen, newest first."""
    return f"fleet:checks:{backend_id}"


def timeline_key(backend_id: UUID) -> str:
    """A stream of `state`, `reason` and `gateway`."""
    return f"fleet:timeline:{backend_id}"


class CheckSeen(msgspec.Struct, frozen=True):
    """An active check. `error` is for people, and empty when `ok`; `models` are what it serves."""

    ok: bool
    at: datetime
    duration_ms: int
    error: str = ""
    models: tuple[str, ...] = ()


class LoadSeen(msgspec.Struct, frozen=True):
    """What an engine said of itself; None is what it did not say.

    Requests that run and that wait in it, the share of its cache in use (0 to 1), and tokens
    since it started: looked for and found in its prefix cache, read as prompts, and generated.
    """

    at: datetime
    running: int | None = None
    waiting: int | None = None
    kv_use: float | None = None
    prefix_queries: int | None = None
    prefix_hits: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class BackendSaid(msgspec.Struct, frozen=True):
    """`is_down` is when checks took it out, which takes more than one that failed."""

    is_down: bool = False
    check: CheckSeen | None = None
    load: LoadSeen | None = None


class BreakerSaid(msgspec.Struct, frozen=True):
    """A breaker since its last transition; `phase` is one of `inference.routing.breaker.Phase`."""

    phase: str
    since: datetime
    until: datetime | None
    opened: int
    gateway: str


class BreakerSeen(msgspec.Struct, frozen=True):
    """`state` is closed, open, half_open, or ramping, which is closed with less than its share."""

    state: str
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lets no requests through but a trial."""
        return self.state in {"open", "half_open"}


class QueueSeen(msgspec.Struct, frozen=True):
    """What an organization has at a model, waiting and in flight; `model` is its public id."""

    model: str
    organization_id: UUID
    waiting: int
    oldest_s: float
    in_flight: int
    share: int


class GatewaySaid(msgspec.Struct, frozen=True):
    """`beat` counts up, so that others see without a common clock that it lives.

    `in_flight` is by backend id, without those where nothing is.
    """

    beat: int
    at: datetime
    in_flight: dict[UUID, int] = {}
    queues: tuple[QueueSeen, ...] = ()


class Transition(msgspec.Struct, frozen=True):
    """`state` is a breaker's, or `down` and `up` of the active checks."""

    at: datetime
    state: str
    reason: str
    gateway: str


encode: Final = msgspec.json.encode
gateway_decode: Final = msgspec.json.Decoder(GatewaySaid).decode
breaker_decode: Final = msgspec.json.Decoder(BreakerSaid).decode
backend_decode: Final = msgspec.json.Decoder(BackendSaid).decode
check_decode: Final = msgspec.json.Decoder(CheckSeen).decode
