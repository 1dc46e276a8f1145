"""Processes that are killed at any moment: the next one bills what they said to be on disk."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep
from uuid import UUID

from billing.metering import decode
from tests.inference.gateway.conftest import wait_until
from tests.inference.gateway.spool.conftest import World, spooling, until

ROOT = Path(__file__).parents[4]
KILLS = 10


def said(root: Path) -> dict[str, set[UUID]]:
    """The requests that were told to be on disk: begun (D) and ended (S)."""
    found: dict[str, set[UUID]] = {"D": set(), "S": set()}
    for path in root.glob("said-*"):
        for line in path.read_text().splitlines():
            found[line[0]].add(UUID(line[2:]))
    return found


def kill_under_load(root: Path) -> None:
    """Have KILLS processes write, each killed at a moment of its own."""
    command = [sys.executable, "-m", "tests.inference.gateway.spool.writing", str(root), str(KILLS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout
        moments = random.Random(3)  # noqa: S311
        children = [int(process.stdout.readline()) for _ in range(KILLS)]
        wait_until(lambda: len(said(root)["S"]) > 50)
        for child in children:
            sleep(moments.uniform(0.001, 0.1))
            os.kill(child, signal.SIGKILL)


async def test_nothing_that_was_said_to_be_on_disk_is_lost(tmp_path: Path, world: World) -> None:
    await asyncio.to_thread(kill_under_load, tmp_path)
    begun, ended = said(tmp_path)["D"], said(tmp_path)["S"]
    async with spooling(tmp_path / "spool", world):
        await until(lambda: ended <= set(world.requests))
        await until(lambda: begun <= {*world.requests, *world.voided})
    records = {settled.request_id: decode(bytes(settled.record)) for settled in world.delivered}
    assert len(world.requests) == len(records)
    assert not records.keys() & set(world.voided)
    assert {records[id_].outcome for id_ in ended} == {"completed"}
    cut = [record for record in records.values() if record.outcome == "gateway_crash"]
    assert cut
    assert all(record.output_tokens == 4 for record in cut)
