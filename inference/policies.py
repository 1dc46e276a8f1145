"""How requests for a model are routed: what the operator chose, else what the gateway does."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.conf import settings

from inference.models import Model, RoutingPolicy

SETTINGS: Final = {
    "connect_timeout_s": "GATEWAY_CONNECT_TIMEOUT_S",
    "first_byte_timeout_s": "GATEWAY_FIRST_BYTE_TIMEOUT_S",
    "idle_timeout_s": "GATEWAY_IDLE_TIMEOUT_S",
    "total_timeout_s": "GATEWAY_TOTAL_TIMEOUT_S",
    "queue_timeout_s": "GATEWAY_QUEUE_TIMEOUT_S",
    "max_waiting": "GATEWAY_MAX_WAITING",
}
"""The field of a policy -> the setting that holds where it is None."""


class Policy(NamedTuple):
    """Timeouts in seconds: to connect, to the first byte of a stream, between two pieces of an
    answer, in all, and in the queue, where at most `max_waiting` requests of an organization wait.

    `fallback` is the id of another model, or empty.
    """

    has_affinity: bool
    fallback: str
    connect_timeout_s: float
    first_byte_timeout_s: float
    idle_timeout_s: float
    total_timeout_s: float
    queue_timeout_s: float
    max_waiting: int


def policy_of(model: Model) -> Policy:
    """Reads `model.routing_policy` and its fallback, so select them."""
    own = getattr(model, "routing_policy", None) or RoutingPolicy()
    fallback = own.fallback.public_id if own.fallback_id and own.fallback else ""
    numbers = {
        field: getattr(settings, name) if getattr(own, field) is None else getattr(own, field)
        for field, name in SETTINGS.items()
    }
    return Policy(own.has_affinity, fallback, **numbers)
