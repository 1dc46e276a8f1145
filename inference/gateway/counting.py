"""The exact tokens of a prompt, counted by an engine before it is asked for anything.

A tokenizer takes its time, so it is asked only for whom the loose bound would turn away.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from inference.engines import ENGINES
from inference.gateway.bodies import Body
from inference.gateway.endpoint import Asked, Endpoint
from inference.gateway.errors import GatewayError
from inference.gateway.handler import GatewayRequest
from inference.gateway.upstream import Timeouts, Unreachable
from inference.snapshot import KeyEntry, ModelEntry

MOST_BYTES_A_TOKEN: Final = 16
"""A text has hardly more to a token: what does not fit with fewer fits with no count."""
TIMEOUT_S: Final = 2.0


async def prompt_tokens(
    request: GatewayRequest, key: KeyEntry, model: ModelEntry, endpoint: Endpoint[Any], body: Body
) -> int | None:
    """None where no engine counts this prompt now."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _counted(request, key, model, endpoint, body)
    except (GatewayError, Unreachable, TimeoutError):
        return None


async def _counted(
    request: GatewayRequest, key: KeyEntry, model: ModelEntry, endpoint: Endpoint[Any], body: Body
) -> int | None:
    route = request.gateway.router.choose(model, key).route
    if route is None or (count_read := ENGINES[route.engine].count_read) is None:
        return None
    asked = Asked(ENGINES[route.engine], route.engine_model, "", model.family)
    question = await request.work(lambda: endpoint.counting(body, asked))
    if question is None:
        return None
    timeouts = Timeouts(TIMEOUT_S, TIMEOUT_S, TIMEOUT_S)
    reply = await request.gateway.upstream.call(route, question, str(request.id), timeouts)
    try:
        data = await reply.read()
    finally:
        reply.close()
    return count_read(data) if reply.status == 200 else None
