"""`python -m tests.fake_vllm --port N [--model NAME] [--api-key KEY]...`"""

from __future__ import annotations

import argparse
import os

from granian import Granian
from granian.constants import Interfaces, Loops


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake vLLM on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model")
    parser.add_argument("--api-key", action="append", default=[])
    given = parser.parse_args()
    if given.model:
        os.environ["FAKE_VLLM_MODEL"] = given.model
    if given.api_key:
        os.environ["FAKE_VLLM_API_KEYS"] = " ".join(given.api_key)
    serve(given.port)


def serve(port: int) -> None:
    Granian(
        "tests.fake_vllm.app:app",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        websockets=False,
        log_enabled=False,
        workers_kill_timeout=1,
    ).serve()


if __name__ == "__main__":
    main()
