"""A real vLLM on the CPU, and a gateway in front of it. `make test-engines` runs these tests."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
from django.core.management import call_command
from openai import OpenAI
from pytest_django.plugin import DjangoDbBlocker

from billing.models import Component
from billing.services import rate_set
from inference import control
from inference.models import Task
from tests.conftest import Cast, make_cast
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import Running, gateway_running, wait_until

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".engines"
START_TIMEOUT_S: Final = 180
ANSWER_TIMEOUT_S: Final = 60
"""The first use of logprobs or of a grammar makes an engine compile."""
ENGINE_KEY: Final = "engine-key"
MODEL: Final = "acme/tiny"
ENGINE_MODEL: Final = "tiny-llama"

FLAGS: Final = """
    --max-model-len 2048 --max-num-seqs 8 --enforce-eager --scheduling-policy priority
    --enable-prompt-tokens-details --enable-request-id-headers
"""
NO_WHITESPACE: Final = '{"backend":"xgrammar","disable_any_whitespace":true}'
"""Random weights would fill JSON with blanks."""
ENVIRONMENT: Final = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_TARGET_DEVICE": "cpu",
}


@dataclass(frozen=True)
class Vllm:
    """A running vLLM; `url` has no /v1."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, **fields: Any) -> httpx.Response:
        """A chat without the gateway."""
        headers = {"Authorization": f"Bearer {ENGINE_KEY}"}
        body = {"model": ENGINE_MODEL, "messages": [{"role": "user", "content": "Hi"}], **fields}
        url = f"{self.url}/v1/chat/completions"
        return httpx.post(url, json=body, headers=headers, timeout=ANSWER_TIMEOUT_S)

    def metric(self, name: str) -> int:
        """The value of vLLM's `name`."""
        text = httpx.get(f"{self.url}/metrics", timeout=ANSWER_TIMEOUT_S).text
        found = re.search(rf"(?m)^vllm:{name}\{{.*\}} (\S+)$", text)
        assert found, f"vLLM has no {name}"
        return int(float(found[1]))

    def is_healthy(self) -> bool:
        assert self.process.poll() is None, f"vLLM ended, see {FOLDER / 'vllm.log'}"
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def vllm_running() -> Iterator[Vllm]:
    """A vLLM that has answered once."""
    port = free_port()
    command = [
        str(FOLDER / "venv/bin/vllm"), "serve", str(FOLDER / ENGINE_MODEL),
        "--served-model-name", ENGINE_MODEL, "--host", "127.0.0.1", "--port", str(port),
        "--api-key", ENGINE_KEY, "--structured-outputs-config", NO_WHITESPACE, *FLAGS.split(),
    ]  # fmt: skip
    with (FOLDER / "vllm.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            command, env=os.environ | ENVIRONMENT, stdout=log, stderr=log, cwd=FOLDER
        )
    engine = Vllm(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(engine.is_healthy, START_TIMEOUT_S)
        assert engine.ask(max_tokens=2).status_code == 200
        yield engine
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="package")
def vllm() -> Iterator[Vllm]:
    with vllm_running() as engine:
        yield engine


@pytest.fixture(scope="package")
def cast(vllm: Vllm, django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Cast]:
    """Committed once, since the gateway reads it, and gone after these tests."""
    with django_db_blocker.unblock():
        people = make_cast()
        _model(vllm)
        yield people
        call_command("flush", interactive=False, verbosity=0)


def _model(vllm: Vllm) -> None:
    region = control.region_create(
        actor=None, code="se-north", site="Luleå", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=None, name="real", base_url=vllm.url, engine="vllm", region=region, key=ENGINE_KEY
    )
    model = control.model_create(
        actor=None, public_id=MODEL, name="Tiny", tasks=(Task.CHAT, Task.COMPLETION),
        context_tokens=2048, owned_by="Acme",
    )  # fmt: skip
    for component in Component:
        rate_set(actor=None, model=MODEL, component=component, price=Decimal("0.25"))
    control.model_deploy(actor=None, model=model, backend=backend, engine_model=ENGINE_MODEL)
    control.model_set_enabled(actor=None, model=model, enabled=True)


@pytest.fixture(scope="package")
def gateway(cast: Cast) -> Iterator[Running]:
    with gateway_running() as running:
        yield running


def _client(gateway: Running, key: str) -> OpenAI:
    url = f"{gateway.url}/v1"
    return OpenAI(base_url=url, api_key=key, max_retries=0, timeout=ANSWER_TIMEOUT_S)


@pytest.fixture
def acme(gateway: Running, cast: Cast) -> Iterator[OpenAI]:
    """The SDK with a key of Acme."""
    with _client(gateway, cast.key.secret) as client:
        yield client


@pytest.fixture
def rival(gateway: Running, cast: Cast) -> Iterator[OpenAI]:
    """The SDK with a key of another organization."""
    with _client(gateway, cast.rival_key.secret) as client:
        yield client
