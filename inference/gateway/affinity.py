"""What requests that begin alike have in common: a backend has their beginning cached."""

from __future__ import annotations

from typing import Any

from inference.gateway.bodies import Body
from inference.gateway.endpoint import Endpoint
from inference.gateway.handler import GatewayRequest
from inference.snapshot import KeyEntry, ModelEntry


def affinity_of(
    request: GatewayRequest, key: KeyEntry, model: ModelEntry, endpoint: Endpoint[Any], body: Body
) -> int | None:
    """The key that leads a request to a backend; None when any backend is as good."""
    return None
