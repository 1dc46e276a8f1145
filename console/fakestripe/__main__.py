"""`python -m console.fakestripe --port N`; the rest is set by the environment (`app.py`)."""

from __future__ import annotations

import argparse
import asyncio
import os

from granian.constants import Interfaces
from granian.server.embed import Server


def main() -> None:
    parser = argparse.ArgumentParser(description="A double of Stripe's API on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    os.environ.setdefault("FAKESTRIPE_URL", f"http://localhost:{port}")
    asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    """In one process, so that whoever kills it has killed it all."""
    from console.fakestripe.app import app

    await Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    main()
