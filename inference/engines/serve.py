"""`vllm serve` with what the gateway relies on, and what to ask the server that runs then."""

from __future__ import annotations

import io
import os
import re
import shutil
import wave
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

ROOT: Final = Path(__file__).resolve().parents[2]
ENGINES: Final = ROOT / ".engines"
"""What `make engines` makes: vLLM for the CPU, and small models."""
SHUTDOWN_S: Final = 30
"""What vLLM itself gives to requests that still run when it is told to end."""
ANSWER_TIMEOUT_S: Final = 120
"""The first answer of an engine may wait for a compiler."""

FLAGS: Final = (
    "--enable-prompt-tokens-details", "--enable-request-id-headers",
    "--scheduling-policy=priority", f"--shutdown-timeout={SHUTDOWN_S}",
)  # fmt: skip
"""Prefix caching is on without a flag where a model can; with it, a Whisper ends at once."""
ON_THE_CPU: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_TARGET_DEVICE": "cpu",
}
ALWAYS: Final = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_MAX_AUDIO_CLIP_FILESIZE_MB": "100",
    "VLLM_MAX_AUDIO_DECODE_DURATION_S": "3600",
    "VLLM_MAX_AUDIO_DECODE_BYTES": str(2**30),
}
"""As large as the gateway takes files; on its own vLLM takes 25 MB and ten minutes."""
TOOL_FLAGS: Final = ("--enable-auto-tool-choice", "--exclude-tools-when-tool-choice-none")


@dataclass(frozen=True)
class Serving:
    """One model, a folder or a name at the Hub, and how it is served under `name`."""

    model: str
    name: str
    port: int
    host: str = "127.0.0.1"
    tensor_parallel: int = 1
    tool_parser: str = ""
    max_model_len: int | None = None
    extra: Sequence[str] = ()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def argv(self) -> list[str]:
        address = [f"--host={self.host}", f"--port={self.port}"]
        return [str(vllm_find()), "serve", self.model, *address, *self.flags]

    @property
    def flags(self) -> Sequence[str]:
        """How it is served; `extra` comes last, so that it wins."""
        flags = [f"--served-model-name={self.name}", *FLAGS]
        flags.append(f"--tensor-parallel-size={self.tensor_parallel}")
        if self.max_model_len:
            flags.append(f"--max-model-len={self.max_model_len}")
        if self.tool_parser:
            flags += [*TOOL_FLAGS, f"--tool-call-parser={self.tool_parser}"]
        return [*flags, *self.extra]


class NoVllm(Exception):  # noqa: N818 - told to a person
    """There is no vLLM on this machine."""


def vllm_find() -> Path:
    """The `vllm` of this machine, or else that of `make engines`. Raises NoVllm."""
    if found := shutil.which("vllm"):
        return Path(found)
    if (ENGINES / "ready").exists():
        return ENGINES / "venv/bin/vllm"
    raise NoVllm("There is no `vllm`: install the extra `engine`, or run `make engines`.")


def environment(key: str) -> dict[str, str]:
    """What to add to the environment. Nobody reads the server's `key` there in a process list."""
    device = ON_THE_CPU if vllm_find().is_relative_to(ENGINES) else {}
    wanted = device | ALWAYS
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    return missing | {"VLLM_API_KEY": key}


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that a vLLM works on, and those that wait for it."""

    running: int
    waiting: int


def give_way(pid: int) -> None:
    """Let all else on this machine go first, where the session of `pid` has an engine on the CPU.

    It spins while it works: with few cores, those it answers to would get none for seconds.
    """
    if vllm_find().is_relative_to(ENGINES):
        with suppress(OSError):  # a kernel without session groups
            Path(f"/proc/{pid}/autogroup").write_text("19")


async def is_healthy(url: str) -> bool:
    try:
        async with _session() as session, session.get(f"{url}/health") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def load_read(url: str) -> Load | None:
    """None when the server does not say."""
    try:
        async with _session() as session, session.get(f"{url}/metrics") as response:
            text = await response.text()
        return Load(_metric(text, "num_requests_running"), _metric(text, "num_requests_waiting"))
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def warm_up(url: str, key: str, model: str) -> bool:
    """Have `model` answer once, whatever it does; whether it did."""
    async with _session(ANSWER_TIMEOUT_S, Authorization=f"Bearer {key}") as session:
        for path, body in _WARM_UPS:
            async with session.post(url + path, **body(model)) as response:
                if response.status != 404:
                    return response.ok
    return False


def _session(timeout_s: float = 5, **headers: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s))


def _metric(text: str, name: str) -> int:
    found = re.search(rf"(?m)^vllm:{name}(?:\{{.*\}})? (\S+)$", text)
    if found is None:
        raise ValueError(name)
    return int(float(found[1]))


def _completion(model: str) -> dict[str, Any]:
    """A prompt of one token kills some engines on the CPU."""
    return {"json": {"model": model, "prompt": "The quick brown fox " * 4, "max_tokens": 2}}


def _embedding(model: str) -> dict[str, Any]:
    return {"json": {"model": model, "input": "The quick brown fox"}}


def _score(model: str) -> dict[str, Any]:
    return {"json": {"model": model, "text_1": "fox", "text_2": "The quick brown fox"}}


def _transcription(model: str) -> dict[str, Any]:
    """Of a second of silence."""
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000))
    form = aiohttp.FormData({"model": model, "language": "en"})
    form.add_field("file", sound.getvalue(), filename="silence.wav", content_type="audio/wav")
    return {"data": form}


_WARM_UPS: Final[Sequence[tuple[str, Callable[[str], dict[str, Any]]]]] = (
    ("/v1/completions", _completion),
    ("/v1/embeddings", _embedding),
    ("/v1/score", _score),
    ("/v1/audio/transcriptions", _transcription),
)
