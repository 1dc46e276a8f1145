"""Clients that keep asking while backends come and go, and what each of them saw."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final

import httpx2 as httpx

PACE_S: Final = 0.05
"""Between an answer and the next request of a client."""


@dataclass(frozen=True)
class Seen:
    """One answer. `first_s` is the time to its first byte, `ended` how it went on from there."""

    request_id: str
    streamed: bool
    status: int
    first_s: float
    ended: str
    text: str


@dataclass
class Storm:
    """`answers` in the order of their ends."""

    answers: list[Seen] = field(default_factory=list)
    is_over: bool = False

    @property
    def endings(self) -> Counter[str]:
        return Counter(answer.ended for answer in self.answers)

    @property
    def refused(self) -> list[Seen]:
        """Those that got an error in place of a first byte."""
        return [answer for answer in self.answers if answer.status != 200]

    async def blow(self, base_url: str, key: str, body: dict[str, Any], clients: int) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=60, limits=limits
        ) as http:
            await asyncio.gather(*(self._keep_asking(http, body, n) for n in range(clients)))

    async def _keep_asking(self, http: httpx.AsyncClient, body: dict[str, Any], n: int) -> None:
        for turn in count(n):
            if self.is_over:
                return
            self.answers.append(await _ask(http, body | {"stream": bool(turn % 2)}))
            await asyncio.sleep(PACE_S)


async def _ask(http: httpx.AsyncClient, body: dict[str, Any]) -> Seen:
    began, first_s, text = monotonic(), 0.0, ""
    async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for piece in answer.aiter_text():
            first_s = first_s or monotonic() - began
            text += piece
    is_whole = text.endswith("data: [DONE]\n\n") if body["stream"] else answer.status_code == 200
    ended = "whole" if is_whole else "broken off" if answer.status_code == 200 else "refused"
    request_id = answer.headers["x-request-id"]
    return Seen(request_id, body["stream"], answer.status_code, first_s, ended, text)


@contextmanager
def storm_blowing(base_url: str, key: str, body: dict[str, Any], clients: int) -> Iterator[Storm]:
    """Clients in a thread of their own; at the end each finishes what it asked last."""
    storm = Storm()
    thread = threading.Thread(
        target=lambda: asyncio.run(storm.blow(base_url, key, body, clients)), daemon=True
    )
    thread.start()
    try:
        yield storm
    finally:
        storm.is_over = True
        thread.join(90)
        assert not thread.is_alive(), "a client still waits for its answer"
