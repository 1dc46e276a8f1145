"""Clients that ask both gateways all the time, and what each answer was."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from time import monotonic
from typing import Any, Final, NamedTuple
from uuid import UUID

import aiohttp

from tests.kills.customers import Customer
from tests.kills.world import MODEL

CHAT: Final = "/v1/chat/completions"
AT_ONCE: Final = 3
"""Clients at each gateway of a customer whose money ends soon: none of it must go twice."""
PAUSE_S: Final = (0.05, 0.15)
REFUSED_PAUSE_S: Final = (0.2, 0.5)
TIMEOUT: Final = aiohttp.ClientTimeout(total=90)
_TOKEN: Final = b'"delta":{"content":'
_USAGE: Final = b'"choices":[],"usage":'
_END: Final = b"data: [DONE]\n\n"


class Wish(NamedTuple):
    """A chat of `tokens`. A client `leaves_after` so many of a stream."""

    commands: str
    tokens: int
    is_streamed: bool = True
    leaves_after: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        words = f"Tell me of sluices. {self.commands}"
        more = {"stream": True, "stream_options": {"include_usage": True}}
        return {
            "model": MODEL, "messages": [{"role": "user", "content": words}],
            "max_tokens": self.tokens, **(more if self.is_streamed else {}),
        }  # fmt: skip


class Seen(NamedTuple):
    """The usage that an answer told."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int


@dataclass
class Answer:
    """What a client got. Times are of `monotonic`; `tokens_at` has one for each token.

    `ended` is None until it is over; then finished, refused (with a status that says so), left (by
    the client) or broken.
    """

    id: str
    customer: Customer
    url: str
    wish: Wish
    began_at: float = field(default_factory=monotonic)
    ended_at: float = 0.0
    status: int | None = None
    code: str = ""
    request_id: UUID | None = None
    can_retry: bool = False
    cost: str = ""
    usage: Seen | None = None
    tokens_at: list[float] = field(default_factory=list)
    ended: str | None = None

    def overlaps(self, start: float, end: float) -> bool:
        return self.began_at < end and (self.ended is None or self.ended_at > start)

    def tokens_by(self, moment: float) -> int:
        return sum(at <= moment for at in self.tokens_at)


class Load:
    """`answers` of a run, in the order in which they were asked for."""

    def __init__(self, urls: Sequence[str], customers: Sequence[Customer], seed: int) -> None:
        self._urls, self._customers, self._seed = urls, customers, seed
        self.answers: list[Answer] = []
        self._ids = count(1)
        self._is_over = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._clients: list[Future[Any]] = []

    @property
    def running(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.ended is None]

    def begin(self) -> None:
        """Clients of each customer at each gateway."""
        self._thread.start()
        self._http = self._run(self._session())
        self._clients = [
            self._spawn(self._keep_asking(customer, url, number))
            for customer in self._customers
            for url in self._urls
            for number in range(AT_ONCE if customer.is_near_its_end else 1)
        ]

    def finish(self) -> None:
        """Each gets the answer that it waits for, and asks no more."""
        self._is_over = True
        for client in self._clients:
            client.result(TIMEOUT.total)
        self._run(self._http.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(self, customer: Customer, url: str, wish: Wish, times: int = 1) -> None:
        """Besides what is asked all the time."""
        self._clients += [self._spawn(self._ask(customer, url, wish)) for _ in range(times)]

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _spawn(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0)
        return aiohttp.ClientSession(timeout=TIMEOUT, connector=connector)

    async def _keep_asking(self, customer: Customer, url: str, number: int) -> None:
        seed = f"{self._seed} {customer.kind} {self._urls.index(url)} {number}"
        random = Random(seed)  # noqa: S311 - to be repeated
        while not self._is_over:
            answer = await self._ask(customer, url, wish_of(random))
            is_served = answer.ended in {"finished", "left"}
            await asyncio.sleep(random.uniform(*(PAUSE_S if is_served else REFUSED_PAUSE_S)))

    async def _ask(self, customer: Customer, url: str, wish: Wish) -> Answer:
        answer = Answer(f"{self._seed}-{next(self._ids)}", customer, url, wish)
        self.answers.append(answer)
        headers = {"x-api-key": customer.key, "x-client-request-id": answer.id}
        ended = "broken"
        try:
            async with self._http.post(url + CHAT, json=wish.body, headers=headers) as response:
                answer.status = response.status
                answer.request_id = UUID(response.headers["x-request-id"])
                answer.can_retry = "retry-after" in response.headers
                answer.cost = response.headers.get("x-sluice-cost", "")
                ended = await _read(answer, response)
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass  # the gateway is gone, or was: that is what is tested
        answer.ended_at = monotonic()
        answer.ended = ended
        return answer


async def _read(answer: Answer, response: aiohttp.ClientResponse) -> str:
    """How it ended."""
    if response.status != 200:
        answer.code = (await response.json())["error"]["code"] or ""
        return "refused"
    if answer.wish.is_streamed:
        return await _read_stream(answer, response)
    answer.usage = _usage_of((await response.json())["usage"])
    return "finished"


async def _read_stream(answer: Answer, response: aiohttp.ClientResponse) -> str:
    text = b""
    async for piece in response.content.iter_any():
        text += piece
        now, before = monotonic(), len(answer.tokens_at)
        answer.tokens_at += [now] * (text.count(_TOKEN) - before)
        leaves_after = answer.wish.leaves_after
        if leaves_after is not None and len(answer.tokens_at) >= leaves_after:
            response.close()
            return "left"
    if not text.endswith(_END):
        return "broken"
    (last,) = (event for event in text.split(b"\n\n") if _USAGE in event)
    answer.usage = _usage_of(json.loads(last.removeprefix(b"data: "))["usage"])
    return "finished"


def _usage_of(usage: dict[str, Any]) -> Seen:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Seen(usage["prompt_tokens"], cached, usage["completion_tokens"])


def wish_of(random: Random) -> Wish:
    """Most are short, some take long to begin, and some of the streams are left."""
    kind, tokens = random.random(), random.randint(3, 30)
    if kind < 0.4:
        cached = random.randint(0, 5)
        return Wish(f"!delay 2 !cached {cached}", tokens, is_streamed=False)
    if kind < 0.75:
        return Wish(f"!delay {random.randint(1, 8)}", tokens)
    if kind < 0.85:
        return Wish("!delay 8", 60, leaves_after=random.randint(1, 40))
    if kind < 0.95:
        return Wish("!delay 10", 100)
    return Wish("!slow-first 400", tokens, is_streamed=random.random() < 0.5)


LONG: Final = Wish("!delay 12", 280)
"""A stream of three seconds and more: by then it was written down how far it was."""
SILENT: Final = Wish("!slow-first 5000", 5)
"""It has no first token for a while."""


@contextmanager
def load_running(urls: Sequence[str], customers: Sequence[Customer], seed: int) -> Iterator[Load]:
    load = Load(urls, customers, seed)
    load.begin()
    try:
        yield load
    finally:
        load.finish()
