"""Backends come and go under load. `tests/engines` does the same with real vLLM."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests import fake_vllm
from tests.fake_vllm import FakeVllm
from tests.faults.trio import check, trio_running
from tests.inference.gateway.conftest import chat

TOKENS: Final = 12
TIMEOUTS: Final = {"GATEWAY_FIRST_BYTE_TIMEOUT_S": "2", "GATEWAY_IDLE_TIMEOUT_S": "2"}


def start(port: int) -> AbstractContextManager[FakeVllm]:
    return fake_vllm.running(api_keys=("engine-key",), port=port)


@pytest.mark.django_db(transaction=True)
def test_backends_come_and_go_and_no_client_gets_an_error() -> None:
    body = chat("Hi !delay 15", max_tokens=TOKENS)
    with trio_running(start, "tiny-llama", **TIMEOUTS) as trio:
        with trio.storm(body, 16) as storm:
            trio.drain(storm)
            trio.kill()
            trio.stall(storm)
        check(storm, TOKENS)
