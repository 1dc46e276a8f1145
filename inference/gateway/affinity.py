"""What requests that begin alike have in common: a backend has their beginning cached."""

from __future__ import annotations

from typing import Any, Protocol

from inference.gateway.bodies import Body
from inference.gateway.endpoint import Endpoint
from inference.routing.affinity import opening_key, session_key
from inference.snapshot import KeyEntry, ModelEntry


class Headed(Protocol):
    def header(self, name: bytes) -> str:
        """The value of the header `name`, given in lower case; empty without one."""


def affinity_of(
    request: Headed, key: KeyEntry, model: ModelEntry, endpoint: Endpoint[Any], body: Body
) -> int | None:
    """The key that leads a request to a backend; None when any backend is as good.

    What the client says of its session goes before what the prompt begins with.
    """
    if not model.policy.has_affinity or len(model.routes) < 2:
        return None
    session = (
        request.header(b"x-session-id")
        or request.header(b"x-claude-code-session-id")
        or body.session
    )
    if session:
        return session_key(key.organization_id, session)
    return opening_key(key.organization_id, model.public_id, endpoint.opening(body))
