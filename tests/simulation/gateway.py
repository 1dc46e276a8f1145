"""A gateway of a simulation: the real spool files and the real holds, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from billing.holds import Ask, Denied, Granted, HoldsClient, Unknown
from billing.models import FAILED, Outcome
from inference.engines import Usage
from inference.gateway.spool.folder import OPEN, Folder, folders
from inference.gateway.spool.records import Dispatch, Progress, Settled, Voided, frame
from inference.gateway.spool.replay import settled_read, unfinished
from inference.gateway.spool.segments import Appender
from tenants.valkey import async_client, client
from tests.simulation.world import Pricing, Request

SEGMENT_BYTES: Final = 1 << 13


class Loop:
    """An event loop that runs one thing at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run[T](self, what: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await what

        return self._loop.run_until_complete(awaited())

    def close(self) -> None:
        self._loop.close()


class Gateway:
    """`running` are the requests it works on, `unsent` what is settled on disk and not delivered.

    What it knows besides its files is gone when it dies.
    """

    def __init__(self, name: str, root: Path, loop: Loop, pricing: Pricing) -> None:
        self.name, self._root, self._loop, self._pricing = name, root, loop, pricing
        self._valkey = async_client()
        self.holds = HoldsClient(self._valkey, name)
        loop.run(self.holds.start())
        loop.run(self.holds.beat())
        self.folder = Folder.create(root, name)
        self._spool = Appender(self.folder, name, SEGMENT_BYTES)
        self._last_synced: tuple[int, int] = (0, 0)
        self.running: list[Request] = []
        self.unsent: list[Settled] = []
        self._adopted: list[Folder] = []

    def reserve(self, request: Request) -> Granted | Denied | Unknown:
        ask = Ask(request.id, request.tenant.id, request.bound_nano, request.scopes, (), self.name)
        return self._loop.run(self.holds.reserve(ask))

    def dispatch(self, request: Request, now: datetime) -> None:
        """On disk before the engine is asked."""
        template = request.record_of(Usage(0, 0, 0), Outcome.GATEWAY_CRASH, now)
        self._write(frame(Dispatch(template, request.bound_nano, request.scopes)), lasts=True)
        self.running.append(request)

    def progress(self, request: Request, usage: Usage, now: datetime) -> None:
        self._write(frame(Progress(request.id, now, *usage)), lasts=False)
        request.written.add(usage)
        request.seen = usage

    def end(self, request: Request, usage: Usage, outcome: Outcome, now: datetime) -> None:
        """Settled on disk; from here on the client may have its last byte."""
        self.running.remove(request)
        nano = 0 if outcome in FAILED else self._pricing.nano(usage)
        record = msgspec.structs.replace(request.record_of(usage, outcome, now), amount_nano=nano)
        settled = Settled.of(record, nano, request.scopes)
        self._write(frame(settled), lasts=True)
        request.promised, request.record = nano, record
        self.unsent.append(settled)

    def void(self, request: Request) -> None:
        """No engine did anything for it."""
        if request in self.running:
            self.running.remove(request)
        self._write(frame(Voided(request.id)), lasts=False)
        self._loop.run(self.holds.void(request.id, request.tenant.id))
        request.is_over = True

    def deliver(self, settled: Settled) -> None:
        self._loop.run(
            self.holds.settle(
                settled.request_id, settled.organization_id, settled.actual_nano, settled.tokens,
                bytes(settled.record), scopes=settled.scopes,
            )
        )  # fmt: skip

    def beat(self) -> None:
        self._loop.run(self.holds.beat())

    def die(self, random: Random, *, loses_power: bool) -> None:
        """With power gone, the disk keeps what was synced and any part of what came after."""
        self._loop.run(self.holds.stop())
        self._loop.run(self._valkey.aclose())
        number, synced = self._last_synced
        if loses_power and self._spool.size > synced and self._spool.number == number:
            cut = random.randint(synced, self._spool.size)
            path = self.folder.path / f"{number:08}{OPEN}"
            with path.open("r+b") as file:
                file.truncate(cut)
        self._close_folders()

    def stop(self) -> None:
        self._loop.run(self.holds.stop())
        self._loop.run(self._valkey.aclose())
        self._close_folders()

    def adopt(self) -> int:
        """Take over what dead gateways left: deliver what was settled, end what was not."""
        found = 0
        for path in folders(self._root):
            if path == self.folder.path or any(path == one.path for one in self._adopted):
                continue
            if folder := Folder.adopt(path):
                self._adopted.append(folder)
                found += 1
                self._replay(folder)
        return found

    def redeliver(self) -> None:
        """Everything settled that is on disk, again: it changes nothing the second time."""
        for folder in (self.folder, *self._adopted):
            for path in folder.segments(OPEN):
                for settled in settled_read(path):
                    self.deliver(settled)

    def _close_folders(self) -> None:
        for folder in (self.folder, *self._adopted):
            folder.close()

    def _replay(self, folder: Folder) -> None:
        segments = folder.segments(OPEN)
        for path in segments:
            for settled in settled_read(path):
                self.deliver(settled)
        for left in unfinished(segments).values():
            template = left.dispatch.record
            if crashed := left.settled(self._pricing.nano_of_record):
                self._write(frame(crashed), lasts=True)
                self.deliver(crashed)
            else:
                self._loop.run(self.holds.void(template.request_id, template.organization_id))

    def _write(self, frames: bytes, *, lasts: bool) -> None:
        self._spool.append(frames, lasts=lasts)
        if lasts:
            self._last_synced = (self._spool.number, self._spool.size)


def lease_drop(name: str) -> None:
    """As if its gateway had been silent for long."""
    client().delete(f"gw:{name}")
