"""Three real vLLM servers come and go under load."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Final

import pytest

from tests.engines import fleet
from tests.engines.fleet import Fleet, Vllm
from tests.faults.trio import check, trio_running
from tests.inference.gateway.conftest import chat

TOKENS: Final = 16
TIMEOUTS: Final = {"GATEWAY_FIRST_BYTE_TIMEOUT_S": "8", "GATEWAY_IDLE_TIMEOUT_S": "8"}


def start(port: int) -> AbstractContextManager[Vllm]:
    return fleet.running(fleet.CHAT, port)


@pytest.mark.skipif("STORM" not in os.environ, reason="it takes six minutes: make storm")
@pytest.mark.django_db(transaction=True)
def test_vllm_servers_come_and_go_and_no_client_gets_an_error(engines: Fleet) -> None:
    engines.stop()
    body = chat("Hi", max_tokens=TOKENS)
    with trio_running(start, fleet.CHAT, **TIMEOUTS) as trio:
        with trio.storm(body, 3) as storm:
            trio.drain(storm)
            trio.kill()
            trio.stall(storm)
        check(storm, 1)
