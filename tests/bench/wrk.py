"""Load by wrk: one request over and over, every answer checked by load.lua."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import msgspec

from tests.bench import engine
from tests.bench.servers import BenchError, Proxy

SCRIPT: Final = Path(__file__).parent / "load.lua"
QUESTION: Final = {
    "model": engine.MODEL,
    "messages": [
        {"role": "system", "content": "You answer in one short sentence."},
        {"role": "user", "content": "Which river runs through Stockholm?"},
    ],
    "max_tokens": engine.TOKENS,
}
STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}


class Run(msgspec.Struct, frozen=True):
    """What load.lua prints at the end of a run of wrk."""

    requests: int
    duration_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    wrong: int

    @property
    def rate(self) -> float:
        return self.requests / self.duration_s


class Load(msgspec.Struct, frozen=True):
    """How wrk asks; after an answer each client pauses `pause_ms` on average."""

    clients: int
    seconds: int
    streamed: bool = False
    pause_ms: float = 0


def wrk_run(proxy: Proxy, load: Load) -> Run:
    """BenchError when any answer is not what it should be."""
    question = QUESTION | STREAMED if load.streamed else QUESTION
    body = json.dumps(question, separators=(",", ":"))
    events = str(proxy.events if load.streamed else 0)
    options = [f"-c{load.clients}", f"-d{load.seconds}s", "-t1", "--timeout", "10s"]
    arguments = [proxy.api_key, body, events, f"{load.pause_ms:.3f}"]
    command = ["wrk", *options, "-s", str(SCRIPT), proxy.url, "--", *arguments]
    got = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if got.returncode:
        raise BenchError(f"wrk failed: {got.stderr or got.stdout}")
    return _checked(msgspec.json.decode(got.stdout.splitlines()[-1], type=Run))


def _checked(run: Run) -> Run:
    if run.errors or run.wrong:
        fault = f"{run.requests:,} answers, {run.wrong:,} of them wrong or not 200"
        raise BenchError(f"{fault}; {run.errors:,} connection errors.")
    return run
