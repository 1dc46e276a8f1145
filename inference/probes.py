"""Active checks of backends: is the engine there, and which models does it name?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import aiohttp
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.models import Backend, BackendState
from inference.sealing import unseal
from tenants.valkey import snapshot_changed

TIMEOUT_S: Final = 3.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Check:
    """What one backend answered. `error` is for people, and empty when `ok`."""

    ok: bool
    duration_ms: int
    error: str
    models: tuple[str, ...] = ()


def backend_check(backend: Backend) -> Check:
    """Ask one backend, which need not be saved, for its health and its models. Blocking."""
    return _check_all([backend])[0]


def backends_check() -> int:
    """Check each backend that may serve, keep the results, and return how many are healthy.

    When one came or went, the gateways are told.
    """
    backends = list(Backend.objects.exclude(state=BackendState.DISABLED))
    before = {backend.pk: backend.healthy for backend in backends}
    for backend, check in zip(backends, _check_all(backends), strict=True):
        _keep(backend, check)
    Backend.objects.bulk_update(backends, ["healthy", "checked_at", "check_ms", "check_error"])
    if any(backend.healthy is not before[backend.pk] for backend in backends):
        snapshot_changed()
    return sum(backend.healthy is True for backend in backends)


def _keep(backend: Backend, check: Check) -> None:
    backend.healthy = check.ok
    backend.checked_at = timezone.now()
    backend.check_ms = check.duration_ms
    backend.check_error = check.error[:200]


def _check_all(backends: Sequence[Backend]) -> list[Check]:
    targets = [(b.base_url, unseal(bytes(b.sealed_key))) for b in backends]
    return asyncio.run(_ask_all(targets))


async def _ask_all(targets: Iterable[tuple[str, str]]) -> list[Check]:
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        return await asyncio.gather(*(_ask(session, url, key) for url, key in targets))


async def _ask(session: aiohttp.ClientSession, base_url: str, key: str) -> Check:
    start = perf_counter()
    try:
        models = await _health_and_models(session, base_url, key)
        error = ""
    except (aiohttp.ClientError, TimeoutError, ValueError, TypeError, KeyError) as problem:
        models, error = (), _explain(problem)
    return Check(not error, round((perf_counter() - start) * 1000), error, models)


async def _health_and_models(
    session: aiohttp.ClientSession, base_url: str, key: str
) -> tuple[str, ...]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with session.get(f"{base_url}/health", headers=headers) as response:
        response.raise_for_status()
    async with session.get(f"{base_url}/v1/models", headers=headers) as response:
        response.raise_for_status()
        body: Any = await response.json(content_type=None)
    return tuple(str(model["id"]) for model in body["data"])


def _explain(problem: Exception) -> str:
    """What went wrong, without addresses or bodies that an engine sent."""
    match problem:
        case TimeoutError():
            return _("No answer within %(seconds)g s.") % {"seconds": TIMEOUT_S}
        case aiohttp.ClientResponseError(status=401 | 403):
            return _("The engine refused our key.")
        case aiohttp.ClientResponseError():
            return _("The engine answered HTTP %(status)d.") % {"status": problem.status}
        case aiohttp.ClientConnectorError():
            return _("Could not connect.")
        case _:
            return _("The answer is not that of an OpenAI-compatible engine.")
