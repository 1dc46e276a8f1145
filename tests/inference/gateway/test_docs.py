"""Whoever copies a snippet out of the documentation gets an answer."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import wave
import zlib
from pathlib import Path
from typing import Any, Final

import pytest
from anthropic import Anthropic
from openai import OpenAI

from console.guides import MODELS, SLUGS, guides, settings_values
from console.markdown import Code, codes
from inference.models import Task
from tests.inference.gateway.conftest import LISTENER, MODEL, READER, Running

pytestmark = pytest.mark.django_db

CALLABLE: Final = {
    Task.CHAT: MODEL,
    Task.COMPLETION: MODEL,
    Task.EMBEDDING: READER,
    Task.RERANK: READER,
    Task.TRANSCRIPTION: LISTENER,
    Task.TRANSLATION: LISTENER,
}
RUN: Final = ("python", "bash")
MANAGEMENT: Final = "management"
"""It is about the console, and tried there."""
STRICT_CURL: Final = 'set -euo pipefail\ncurl() { command curl --fail-with-body -sS "$@"; }\n'


def places() -> list[tuple[str, int]]:
    """Each snippet that can be run, by its page and its place there."""
    return [
        (slug, at)
        for slug in SLUGS
        if slug != MANAGEMENT
        for at, code in enumerate(codes(guides()[slug].source))
        if code.language in RUN
    ]


@pytest.fixture
def values(gateway: Running) -> dict[str, str]:
    """What the pages fill in, for the gateway of these tests."""
    models = {name: CALLABLE[task] for name, (task, _) in MODELS.items()}
    here = {"base_url": f"{gateway.url}/v1", "host_url": gateway.url}
    return settings_values() | models | here


@pytest.fixture
def desk(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader sits: the key in the environment, and a picture and a recording at hand."""
    monkeypatch.setenv("SLUICE_API_KEY", key)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(picture())
    for name in ("speech.wav", "speech.mp3"):
        (tmp_path / name).write_bytes(recording())
    return tmp_path


def recording() -> bytes:
    """A second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(32_000))
    return file.getvalue()


def picture() -> bytes:
    """A PNG of one black pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    )


def test_there_are_snippets_of_both_kinds_to_run() -> None:
    found = [codes(guides()[slug].source)[at].language for slug, at in places()]

    assert min(found.count(language) for language in RUN) >= 10


@pytest.mark.parametrize(("slug", "at"), places())
def test_a_snippet_of_the_documentation_works(
    slug: str, at: int, values: dict[str, str], desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = codes(guides()[slug].filled(values))[at]

    run(code)

    if not code.text.startswith("export "):
        assert capfd.readouterr().out.strip()


def close(names: dict[str, Any]) -> None:
    """The clients that a snippet leaves to the end of its process."""
    for value in names.values():
        if isinstance(value, OpenAI | Anthropic):
            value.close()


def run(code: Code) -> None:
    """Run it here, or in a shell in which curl fails with what is not a 2xx."""
    if code.language == "python":
        names = {"__name__": "__main__"}
        exec(compile(code.text, code.id, "exec"), names)  # noqa: S102
        close(names)
        return
    command = ["bash", "-c", STRICT_CURL + code.text]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60)  # noqa: S603
    print(done.stdout)  # noqa: T201 - it is what the reader sees
    assert done.returncode == 0, done.stdout + done.stderr
