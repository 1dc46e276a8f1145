"""Active checks of backends: is the engine there, which models does it name, and how busy is it?"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

import aiohttp
import msgspec
from django.utils import timezone
from django.utils.translation import gettext as _

from inference.engines import ENGINES, EngineLoad, load_read
from inference.live import CheckSeen
from inference.models import Backend
from tenants.sealing import unseal

TIMEOUT_S: Final = 3.0
MAX_MODELS_BYTES: Final = 1 << 20
MAX_METRICS_BYTES: Final = 4 << 20
"""vLLM's have some 100 kB for each engine behind an address."""
MAX_MODELS: Final = 100
MAX_NAME_CHARS: Final = 200


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_decode: Final = msgspec.json.Decoder(_Models).decode


class _Status(Exception):  # noqa: N818
    """The engine answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def backend_check(backend: Backend) -> CheckSeen:
    """Ask one backend, which need not be saved, for its health and its models. Blocking."""
    return asyncio.run(_check_once(backend))


async def _check_once(backend: Backend) -> CheckSeen:
    async with session("console") as asking:
        base_url, key = backend.base_url.rstrip("/"), unseal(bytes(backend.sealed_key))
        return await check(asking, base_url, backend.engine, key)


def session(who: str) -> aiohttp.ClientSession:
    """For `check` and `scrape`: it bounds their time, and tells the engine `who` asks."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"Accept-Encoding": "identity", "User-Agent": f"sluice {who}"},
    )


async def check(asking: aiohttp.ClientSession, base_url: str, engine: str, key: str) -> CheckSeen:
    """Ask an engine, which may answer with anything, for its health and its models."""
    at, start = timezone.now(), perf_counter()
    models: tuple[str, ...] = ()
    try:
        await _get(asking, base_url + ENGINES[engine].health_path, key, MAX_MODELS_BYTES)
        models = _names(await _get(asking, f"{base_url}/v1/models", key, MAX_MODELS_BYTES))
        error = ""
    except Exception as problem:  # whatever it is, the backend failed its check
        error = _explain(problem)
    duration_ms = round((perf_counter() - start) * 1000)
    return CheckSeen(ok=not error, at=at, duration_ms=duration_ms, error=error, models=models)


async def scrape(
    asking: aiohttp.ClientSession, base_url: str, engine: str, key: str
) -> EngineLoad | None:
    """The load that an engine tells; None when it does not."""
    try:
        text = await _get(asking, f"{base_url}/metrics", key, MAX_METRICS_BYTES)
        return load_read(text, ENGINES[engine].load)
    except Exception:  # an engine without metrics is routed all the same
        return None


async def _get(asking: aiohttp.ClientSession, url: str, key: str, most_bytes: int) -> bytes:
    """The body of a 200. Raises _Status, and ValueError when it is too large."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with asking.get(url, headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            raise _Status(response.status)
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > most_bytes:
                raise ValueError("too large")
        return bytes(body)


def _names(body: bytes) -> tuple[str, ...]:
    return tuple(model.id[:MAX_NAME_CHARS] for model in _decode(body).data[:MAX_MODELS])


def _explain(problem: Exception) -> str:
    """What went wrong, without addresses or bodies that an engine sent."""
    match problem:
        case TimeoutError():
            return _("No answer within %(seconds)g s.") % {"seconds": TIMEOUT_S}
        case _Status(status=401 | 403):
            return _("The engine refused our key.")
        case _Status():
            return _("The engine answered HTTP %(status)d.") % {"status": problem.status}
        case aiohttp.ClientConnectorError():
            return _("Could not connect.")
        case _:
            return _("The answer is not that of an OpenAI-compatible engine.")
