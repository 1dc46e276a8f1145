"""`python -m console.fakestripe --port N`; the rest is set by the environment (`app.py`)."""

from __future__ import annotations

import argparse
import os

from granian import Granian
from granian.constants import Interfaces, Loops


def main() -> None:
    parser = argparse.ArgumentParser(description="A double of Stripe's API on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    os.environ.setdefault("FAKESTRIPE_URL", f"http://localhost:{port}")
    Granian(
        "console.fakestripe.app:app",
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
