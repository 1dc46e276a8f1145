"""The fake engine as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

START_TIMEOUT_S: Final = 120
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class FakeVllm:
    """A running fake. `url` has no /v1."""

    url: str
    model: str
    process: subprocess.Popen[bytes]

    def state(self) -> dict[str, Any]:
        """`State` of tests/fake_vllm/app.py as JSON."""
        state: dict[str, Any] = json.loads(self._call("/_fake/state", "GET"))
        return state

    def reset(self) -> None:
        self._call("/_fake/reset", "POST")

    def stop(self) -> None:
        """End the process; stopping it again changes nothing."""
        self.process.terminate()
        self.process.wait(10)

    def kill(self) -> None:
        """End the process and its workers as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stall(self) -> None:
        """It goes on listening, and does nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def answered(self) -> int:
        return int(self.state()["finished"])

    def running(self) -> int:
        return int(self.state()["running"])

    def wait_for(self, timeout_s: float = 30, **expected: Any) -> dict[str, Any]:
        """Wait until the state has these values; AssertionError past `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not expected.items() <= (state := self.state()).items():
            if time.monotonic() > deadline:
                raise AssertionError(f"{expected} not seen in {state}")
            time.sleep(0.01)
        return state

    def _call(self, path: str, method: str) -> bytes:
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            body: bytes = answer.read()
        return body


@contextmanager
def running(
    *,
    model: str = "tiny-llama",
    api_keys: tuple[str, ...] = (),
    max_model_len: int = 2048,
    port: int = 0,
    slots: int = 0,
) -> Iterator[FakeVllm]:
    """A fake engine on `port` of 127.0.0.1 (0: a free one), answering when this yields.

    It runs `slots` requests at once (0: any number).
    """
    port = port or free_port()
    names = {
        "MODEL": model, "API_KEYS": " ".join(api_keys), "MAX_MODEL_LEN": str(max_model_len),
        "SLOTS": str(slots),
    }  # fmt: skip
    env = os.environ | {f"FAKE_VLLM_{name}": value for name, value in names.items()}
    command = [sys.executable, "-m", "tests.fake_vllm", "--port", str(port)]
    process = subprocess.Popen(  # noqa: S603
        command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    engine = FakeVllm(f"http://127.0.0.1:{port}", model, process)
    try:
        _wait_until_ready(engine)
        yield engine
    finally:
        engine.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _wait_until_ready(engine: FakeVllm) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while engine.process.poll() is None and time.monotonic() < deadline:
        try:
            engine.state()
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"The fake engine at {engine.url} did not start.")
