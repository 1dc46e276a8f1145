"""What affinity is worth: conversations over four engines with prefix caches, with it and without.

`make bench-affinity` prints the share of prompt tokens that were cached, and the time to the first
token. Both runs have the same conversations, and engines that have forgotten everything.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

import httpx2 as httpx

from tests.bench import servers
from tests.bench.prefix_engine import ANSWER_TOKENS, MODEL, WORD
from tests.bench.runs import run_folder
from tests.bench.servers import LOAD_CORE, BenchError, process, wait_until_answering

if TYPE_CHECKING:
    from inference.models import Backend

ENGINES: Final = 4
ORGANIZATIONS: Final = 6
CONVERSATIONS: Final = 60
TURNS: Final = 8
SYSTEM_BYTES: Final = (4_000, 16_000)
QUESTION_BYTES: Final = (500, 2_000)
BEGIN_S: Final = (0.0, 6.0)
THINKING_S: Final = (0.2, 1.0)
MOST_S: Final = 60
MODELS: Final = {"affinity": True, "least loaded": False}
"""The names of the two runs; by them the models are called that differ in their policy alone."""


@dataclass(frozen=True)
class Conversation:
    """An organization's key, what the system says, the questions, and the pauses before them."""

    api_key: str
    system: str
    questions: tuple[str, ...]
    pauses_s: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """Times to the first token in seconds; requests for each engine."""

    hit_share: float
    ttft_s: Sequence[float]
    requests: Sequence[int]

    def line(self, name: str) -> str:
        twentieths = quantiles(self.ttft_s, n=20)
        p50, p95 = twentieths[9] * 1000, twentieths[18] * 1000
        spread = "  ".join(str(count) for count in self.requests)
        return f"{name:<14}{self.hit_share:>12.0%}{p50:>12.0f} ms{p95:>12.0f} ms     {spread}"


HEAD: Final = f"{'':<14}{'cached':>12}{'TTFT p50':>15}{'TTFT p95':>15}     requests by engine"


def main() -> int:
    try:
        with run_folder(_say) as folder, ExitStack() as stack:
            urls = stack.enter_context(engines_running(folder))
            stack.enter_context(servers.stores_running(folder))
            keys = seed(urls)
            port = _free_ports(1)[0]
            gateway = stack.enter_context(servers.gateway_running(folder, keys[0], port))
            conversations = list(_conversations(keys))
            results = {name: _run(gateway.url, urls, name, conversations) for name in MODELS}
    except BenchError as error:
        _say(f"bench failed: {error}")
        return 1
    for line in (HEAD, *(result.line(name) for name, result in results.items())):
        print(line)  # noqa: T201
    return 0


@contextmanager
def engines_running(folder: Path) -> Iterator[list[str]]:
    """Their URLs."""
    ports = _free_ports(ENGINES)
    command = (sys.executable, "-m", "tests.bench.prefix_engine", *(str(port) for port in ports))
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with process("engines", *command, folder=folder, core=LOAD_CORE) as child:
        for url in urls:
            wait_until_answering(f"{url}/state", child, folder / "engines.log")
        yield urls


def seed(urls: Sequence[str]) -> list[str]:
    """Organizations, and both models on all engines; returns a key of each organization."""
    first = servers.platform_seed(urls[0])
    from inference import control
    from inference.models import Backend

    bench = Backend.objects.get()
    others = [
        control.backend_register(
            actor=None, name=f"bench-{n}", base_url=url, engine=bench.engine, region=bench.region
        )
        for n, url in enumerate(urls[1:], 2)
    ]
    for name, has_affinity in MODELS.items():
        _model_seed(name, [bench, *others], has_affinity=has_affinity)
    return [first, *(_key_seed(f"bench-{n}") for n in range(2, ORGANIZATIONS + 1))]


def _model_seed(name: str, backends: Sequence[Backend], *, has_affinity: bool) -> None:
    from decimal import Decimal

    from billing.services import rate_set
    from inference import control
    from inference.models import Task

    model = control.model_create(
        actor=None, public_id=_id(name), name=name, tasks=[Task.CHAT], context_tokens=32_768,
        owned_by="sluice",
    )  # fmt: skip
    for component in model.components:
        rate_set(actor=None, model=model.public_id, component=component, price=Decimal("0.1"))
    for backend in backends:
        control.model_deploy(actor=None, model=model, backend=backend, engine_model=MODEL)
    control.model_set_routing(actor=None, model=model, has_affinity=has_affinity)
    control.model_set_enabled(actor=None, model=model, enabled=True)


def _key_seed(slug: str) -> str:
    from tenants import services

    organization = services.organization_create(actor=None, name=slug, slug=slug)
    project = services.project_create(actor=None, organization=organization, name=slug)
    return services.api_key_create(actor=None, project=project, name=slug).secret


def _id(name: str) -> str:
    return name.replace(" ", "-")


def _conversations(keys: Sequence[str]) -> Iterator[Conversation]:
    """The same each time; each organization has two system prompts."""
    chance = random.Random(4)  # noqa: S311
    systems = {key: [_text(chance, *SYSTEM_BYTES) for _ in range(2)] for key in keys}
    for number in range(CONVERSATIONS):
        key = keys[number % len(keys)]
        questions = tuple(_text(chance, *QUESTION_BYTES) for _ in range(TURNS))
        pauses_s = [chance.uniform(*THINKING_S) for _ in range(TURNS)]
        pauses_s[0] = chance.uniform(*BEGIN_S)
        yield Conversation(key, chance.choice(systems[key]), questions, tuple(pauses_s))


def _text(chance: random.Random, least: int, most: int) -> str:
    size = chance.randint(least, most)
    return chance.randbytes(size // 2 + 1).hex()[:size]


def _run(
    url: str, engines: Sequence[str], name: str, conversations: Sequence[Conversation]
) -> Result:
    """Hold all conversations with one of the models."""
    _say(f"{name}: {len(conversations)} conversations of {TURNS} turns")
    for engine in engines:
        _get(f"{engine}/forget", b"")
    ttft_s = asyncio.run(_hold_all(url, _id(name), conversations))
    seen = [_get(f"{engine}/state") for engine in engines]
    hits, tokens = (sum(one[n] for one in seen) for n in ("cached_tokens", "prompt_tokens"))
    return Result(hits / tokens, ttft_s, [one["requests"] for one in seen])


async def _hold_all(url: str, model: str, conversations: Sequence[Conversation]) -> list[float]:
    times = list[float]()
    async with httpx.AsyncClient(timeout=MOST_S) as client:
        holding = (_hold(client, url, model, one, times) for one in conversations)
        try:
            await asyncio.wait_for(asyncio.gather(*holding), MOST_S)
        except TimeoutError:
            raise BenchError(f"The conversations took longer than {MOST_S} s.") from None
    return times


async def _hold(
    client: httpx.AsyncClient, url: str, model: str, one: Conversation, times: list[float]
) -> None:
    messages = [{"role": "system", "content": one.system}]
    for question, pause_s in zip(one.questions, one.pauses_s, strict=True):
        await asyncio.sleep(pause_s)
        messages.append({"role": "user", "content": question})
        body = {"model": model, "messages": messages, "stream": True}
        times.append(await _first_token_s(client, url, one.api_key, body))
        messages.append({"role": "assistant", "content": WORD * ANSWER_TOKENS})


async def _first_token_s(
    client: httpx.AsyncClient, url: str, api_key: str, body: dict[str, object]
) -> float:
    """Reads the whole answer."""
    started, first_s = time.perf_counter(), 0.0
    headers = {"Authorization": f"Bearer {api_key}"}
    async with client.stream("POST", url, json=body, headers=headers) as answer:
        if answer.status_code != 200:
            raise BenchError(f"An answer was {answer.status_code}.")
        async for data in answer.aiter_bytes():
            if not first_s and b'"content"' in data:
                first_s = time.perf_counter() - started
    return first_s


def _get(url: str, data: bytes | None = None) -> dict[str, int]:
    with urllib.request.urlopen(url, data=data, timeout=5) as answer:  # noqa: S310 - loopback
        document: dict[str, int] = json.load(answer)
    return document


def _free_ports(count: int) -> list[int]:
    from console.embedded import free_port

    return [free_port() for _ in range(count)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
