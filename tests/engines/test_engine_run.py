"""`manage.py engine_run` with a real vLLM, and a gateway that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai as sdk
import pytest
from openai import OpenAI

from billing.models import Outcome
from inference.engines.serve import ENGINES
from inference.models import Backend, BackendState
from tests.engines.conftest import LONELY
from tests.engines.fleet import CHAT, COMMON, FLAGS, START_TIMEOUT_S
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import ROOT, record_of, wait_until
from tests.servers import services_url

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("room")]

CHATS: dict[str, Any] = {"model": LONELY, "messages": [{"role": "user", "content": "Hello"}]}


@contextmanager
def engine_run(*flags: str) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {"DATABASE_URL": services_url()}
    options = [f"--id={LONELY}", f"--port={free_port()}", "--region=se-north"]
    argv = [sys.executable, "manage.py", "engine_run", str(ENGINES / CHAT), *options, "--", *flags]
    with (ENGINES / "engine_run.log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def state() -> str | None:
    backends = Backend.objects.filter(deployments__model__public_id=LONELY)
    return backends.values_list("state", flat=True).first()


def test_a_stream_outlives_the_order_to_stop(acme: OpenAI) -> None:
    with engine_run(*COMMON, *FLAGS[CHAT]) as process:
        wait_until(lambda: state() == BackendState.ACTIVE, START_TIMEOUT_S)
        stream: Any = wait_until(lambda: streamed(acme))
        next(stream)
        process.terminate()
        wait_until(lambda: state() == BackendState.DRAINING)
        assert len([chunk for chunk in stream if chunk.choices]) > 100
        assert process.wait(60) == 0
    record = record_of(stream.response)
    assert (record.outcome, record.output_tokens) == (Outcome.COMPLETED, 1500)
    assert state() == BackendState.DISABLED


def streamed(client: OpenAI) -> Any:
    """None until the gateway has heard of the backend."""
    try:
        return client.chat.completions.create(**CHATS, max_tokens=1500, stream=True)
    except sdk.InternalServerError:
        return None
