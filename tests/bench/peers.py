"""Other gateways, each in an environment of its own, with as little on as they allow."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.bench import engine
from tests.bench.servers import (
    BIN,
    PROXY_CORE,
    ROOT,
    BenchError,
    Proxy,
    process,
    wait_until_answering,
)

FOLDER: Final = ROOT / ".run" / "peers"
INSTALL_TIMEOUT_S: Final = 600

LITELLM_CONFIG: Final = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: hosted_vllm/{model}
      api_base: {engine_url}/v1
      api_key: none
litellm_settings:
  telemetry: false
"""


@dataclass(frozen=True)
class Peer:
    """A gateway from PyPI; `events` is how many it makes of a stream of 103."""

    name: str
    requirement: str
    program: str
    ready_path: str
    arguments: Callable[[Path, str, int], Sequence[str]]
    environment: Mapping[str, str]
    events: int = engine.EVENTS
    slowness: int = 1

    @property
    def folder(self) -> Path:
        return FOLDER / re.sub(r"(\[.*\])?==", "-", self.requirement)


def _litellm(folder: Path, engine_url: str, port: int) -> Sequence[str]:
    config = folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(model=engine.MODEL, engine_url=engine_url))
    return ("--config", str(config), "--host", "127.0.0.1", "--port", str(port))


def _vllm_router(folder: Path, engine_url: str, port: int) -> Sequence[str]:
    where = ("--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(port + 1))
    return ("--worker-urls", engine_url, "--policy", "round_robin", *where)


PEERS: Final = (
    Peer(
        "LiteLLM",
        "litellm[proxy]==1.106.2",
        "litellm",
        "/health/liveliness",
        _litellm,
        {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        slowness=5,
    ),
    Peer("vllm-router", "vllm-router==0.1.17", "vllm-router", "/liveness", _vllm_router, {}),
)


def peer_install(peer: Peer) -> Path:
    """Its program, installed the first time. BenchError when that cannot be done here."""
    program = peer.folder / "bin" / peer.program
    if not program.exists():
        python = str(peer.folder / "bin" / "python")
        _uv("venv", "--clear", str(peer.folder))
        _uv("pip", "install", "--python", python, peer.requirement)
    return program


def _uv(*arguments: str) -> None:
    command = [str(BIN / "uv"), *arguments, "-q"]
    try:
        subprocess.run(  # noqa: S603 - our own words
            command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.CalledProcessError as error:
        raise BenchError(f"it cannot be installed: {error.stderr.strip()[-300:]}") from None
    except subprocess.TimeoutExpired:
        raise BenchError("it cannot be installed in time.") from None


@contextmanager
def peer_running(folder: Path, peer: Peer, engine_url: str, port: int) -> Iterator[Proxy]:
    """`peer` before the engine, one process; it checks a key where it can without a database."""
    api_key = f"sk-{secrets.token_hex(32)}"
    settings = {**peer.environment, "LITELLM_MASTER_KEY": api_key}
    environment = [f"{name}={value}" for name, value in settings.items()]
    command = ["env", *environment, str(peer_install(peer))]
    command += peer.arguments(folder, engine_url, port)
    with process(peer.name, *command, folder=folder, core=PROXY_CORE) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_answering(url + peer.ready_path, child, folder / f"{peer.name}.log")
        chat = f"{url}/v1/chat/completions"
        proxy = Proxy(peer.name, chat, api_key, child.pid)
        yield replace(proxy, events=peer.events, may_fail=True, slowness=peer.slowness)
