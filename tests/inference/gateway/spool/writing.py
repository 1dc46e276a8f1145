"""Processes that begin and end requests as fast as they can, and say so, until they are killed.

`python -m tests.inference.gateway.spool.writing FOLDER COUNT` prints their ids. Each appends to a
file of its own, FOLDER/said-<id>: `D <request>` when a request may go to an engine, `S <request>`
when its last byte may leave.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from inference.engines import Usage
from tests.inference.gateway.spool.conftest import World, dispatch, record, spooling


async def write(root: Path) -> None:
    said = os.open(root / f"said-{os.getpid()}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    async with spooling(root / "spool", World()) as spool:

        async def client() -> None:
            while True:
                id_ = uuid4()
                spool.dispatched(dispatch(id_))
                await spool.synced()
                os.write(said, b"D %b\n" % id_.hex.encode())
                spool.progressed(id_, Usage(3, 0, 4))
                await asyncio.sleep(0.01)
                await spool.settled(record(id_), 32, ())
                os.write(said, b"S %b\n" % id_.hex.encode())

        await asyncio.gather(*(client() for _ in range(16)))


def main(root: Path, count: int) -> None:
    for _ in range(count):
        if not (child := os.fork()):
            asyncio.run(write(root))
        print(child, flush=True)  # noqa: T201
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
