"""Real vLLM servers on the CPU, of which at most two run at a time: they are large."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx2 as httpx
from asgiref.sync import async_to_sync

from inference.engines import serve
from inference.engines.serve import ENGINES, Serving
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import wait_until

START_TIMEOUT_S: Final = 240
STOP_TIMEOUT_S: Final = 20
ANSWER_TIMEOUT_S: Final = 90
"""The first use of logprobs or of a grammar makes an engine compile."""
AT_A_TIME: Final = 2
KEY: Final = "engine-key"

CHAT: Final = "tiny-llama"
MINILM: Final = "all-minilm-l6-v2"
WHISPER: Final = "tiny-whisper"

NO_WHITESPACE: Final = '{"backend":"xgrammar","disable_any_whitespace":true}'
"""Random weights would fill JSON with blanks."""
COMMON: Final = ("--enforce-eager", "--dtype=float32")
FLAGS: Final = {
    CHAT: (
        "--max-num-seqs=8",
        "--reasoning-parser=deepseek_v3",
        f"--structured-outputs-config={NO_WHITESPACE}",
    ),
    MINILM: ("--runner=pooling",),
    WHISPER: ("--max-num-seqs=2", "--max-num-batched-tokens=2048"),
}  # fmt: skip


@dataclass(frozen=True)
class Vllm:
    """A running vLLM; `url` has no /v1."""

    name: str
    url: str
    process: subprocess.Popen[bytes]

    def post(self, path: str, **body: Any) -> httpx.Response:
        """A request without the gateway."""
        headers = {"Authorization": f"Bearer {KEY}"}
        body = {"model": self.name, **body}
        return httpx.post(self.url + path, json=body, headers=headers, timeout=ANSWER_TIMEOUT_S)

    def metric(self, name: str, label: str = "") -> int:
        """The value of vLLM's `name`; of several the first one that has `label`."""
        text = httpx.get(f"{self.url}/metrics", timeout=ANSWER_TIMEOUT_S).text
        found = re.search(rf"(?m)^vllm:{name}\{{.*{label}.*\}} (\S+)$", text)
        assert found, f"vLLM has no {name}"
        return int(float(found[1]))

    def is_healthy(self) -> bool:
        log = ENGINES / f"{self.name}.log"
        assert self.process.poll() is None, f"vLLM ended:\n{log.read_text()[-3000:]}"
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def answered(self) -> int:
        text = httpx.get(f"{self.url}/metrics", timeout=ANSWER_TIMEOUT_S).text
        counts = re.findall(r"(?m)^vllm:request_success_total\{.*\} (\S+)$", text)
        return sum(int(float(count)) for count in counts)

    def running(self) -> int:
        return self.metric("num_requests_running") + self.metric("num_requests_waiting")

    def stop(self) -> None:
        """Also one that still works for clients who have gone."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and its engine core as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stall(self) -> None:
        """It goes on listening, and does nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)


class Fleet:
    """All servers: each has its port from the start, and runs from when it is first asked for."""

    def __init__(self) -> None:
        self._ports = {name: free_port() for name in FLAGS}
        self._running = OrderedDict[str, Vllm]()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def get(self, name: str) -> Vllm:
        """The server of `name`, which has answered once."""
        if name not in self._running:
            self.make_room()
            self._running[name] = start(name, self._ports[name])
        self._running.move_to_end(name)
        return self._running[name]

    def make_room(self) -> None:
        """For one more: the one that was not asked for the longest time ends."""
        if len(self._running) == AT_A_TIME:
            self._running.popitem(last=False)[1].stop()

    def stop(self) -> None:
        while self._running:
            self._running.popitem()[1].stop()


@contextmanager
def running(name: str, port: int) -> Iterator[Vllm]:
    """A server of its own."""
    engine = start(name, port)
    try:
        yield engine
    finally:
        engine.stop()


def start(name: str, port: int) -> Vllm:
    """The server of `name`, which has answered once."""
    began = time.monotonic()
    serving = Serving(
        str(ENGINES / name), name, port, tool_parser="hermes" if name == CHAT else "",
        extra=(*COMMON, *FLAGS[name]),
    )  # fmt: skip
    with (ENGINES / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            serving.argv(), env=os.environ | serve.environment(KEY), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    engine = Vllm(name, serving.url, process)
    try:
        wait_until(engine.is_healthy, START_TIMEOUT_S)
        assert async_to_sync(serve.warm_up)(engine.url, KEY, name)
        serve.give_way(process.pid)
    except BaseException:
        engine.stop()
        raise
    print(f"{name}: {time.monotonic() - began:.0f} s", end=" ", flush=True)  # noqa: T201
    return engine
