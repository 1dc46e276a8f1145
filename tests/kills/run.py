"""One run: load, a fault, everything back and drained, and what must hold then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Final
from unittest.mock import patch

from django.db import connection

from billing.holds import Hold, orphans
from billing.ingest import DEAD_STREAM
from billing.ledger import books_check
from billing.metering import STREAMS
from billing.models import Drift, DriftKind, Lease
from billing.seeding import accounts_seed
from tenants.valkey import client
from tests.kills.cases import case_of
from tests.kills.customers import customers_make
from tests.kills.load import load_running
from tests.kills.oracle import Oracle
from tests.kills.processes import wait_until
from tests.kills.scene import Scene
from tests.kills.world import World

DRAINED_S: Final = 30
SOON_S: Final = 1.5
DRAINED_LONG_S: Final = 240
"""What Valkey forgot is found to be missing some two minutes later."""


@dataclass
class Report:
    """What a run did, and `breaks`: what did not hold."""

    run: int
    case: str
    requests: int = 0
    faults: int = 0
    breaks: list[str] = field(default_factory=list)
    oracle: Oracle | None = None

    def again(self) -> list[str]:
        """What held, and does not hold any more at the end of all runs."""
        if self.breaks or not self.oracle:
            return []
        return [f"later, run {self.run}, {self.case}: {why}" for why in self.oracle.billed()]

    def counts(self) -> dict[str, int]:
        return {"requests": self.requests, "faults": self.faults}


class Run:
    def __init__(self, world: World, number: int) -> None:
        self._world, self._random = world, Random(number)  # noqa: S311 - to be repeated
        self._case = case_of(number)
        self.report = Report(number, self._case.__name__)

    def play(self) -> Report:
        """AssertionErrors, of what never came, are breaks as well."""
        try:
            self._play()
        except AssertionError as error:
            self.report.breaks.append(str(error))
        return self.report

    def _play(self) -> None:
        world, number = self._world, self.report.run
        customers = customers_make(number)
        for gateway in world.gateways:
            wait_until(lambda one=gateway: one.knows(customers[-1].key), "a key is known")  # type: ignore[misc]
        urls = [gateway.url for gateway in world.gateways]
        with load_running(urls, customers, number) as load:
            scene = Scene(world, load, customers, self._random)
            try:
                wait_until(lambda: _each_served(scene), "each is served")
                scene.pause(0.1, 0.6)
                self._case(scene)
                world.restore()
                scene.pause(0.2, 0.4)
            finally:
                self.report.requests, self.report.faults = len(load.answers), scene.faults
                connection.close()
        self.report.requests = len(load.answers)
        self.report.oracle = oracle = Oracle(scene, world.given())
        if scene.has_forgotten and not world.is_long:
            self._records_bring(oracle)
        self._drain(oracle)
        self.report.breaks += [*oracle.breaks(), *map(str, books_check()), *_strays()]

    def _records_bring(self, oracle: Oracle) -> None:
        """What Valkey lost is delivered again by who takes over a spool, or minutes later; holds
        that came back, for their end was lost, are let go then as well, or in an hour.
        """
        parts = (oracle.owed, self._unresolved, _holds)
        with suppress(AssertionError):
            wait_until_none(lambda: chain.from_iterable(part() for part in parts), SOON_S)
            return
        for gateway in self._world.gateways:
            gateway.crash()
        self._world.restore()

    def _drain(self, oracle: Oracle) -> None:
        """Until nothing is owed, held or set apart, and no stream has anything."""
        timeout_s = DRAINED_LONG_S if self._world.is_long else DRAINED_S
        ids = [customer.id for customer in oracle.customers]
        leases = Lease.objects.filter(organization__in=ids)
        for left in (oracle.owed, self._unresolved, _waiting, _holds, leases.all):
            wait_until_none(left, timeout_s)
        accounts_seed(ids)

    def _unresolved(self) -> list[str]:
        return self._world.spools.unresolved(self._world.gateway_pids, _holds())


def wait_until_none(left: Callable[[], Iterable[object]], timeout_s: float) -> None:
    found = list[object]()

    def is_none() -> bool:
        found[:] = left()
        return not found

    try:
        wait_until(is_none, "nothing is left", timeout_s)
    except AssertionError:
        raise AssertionError(
            f"after {timeout_s} s {len(found)} left: {[*map(str, found[:3])]}"
        ) from None


def _holds() -> list[Hold]:
    """All that are open, orphans or not."""
    with patch.multiple("billing.holds.orphans", ORPHAN_S=0, LONGEST_S=0):
        return orphans()


def _each_served(scene: Scene) -> bool:
    kinds = {one.customer.kind for one in scene.load.answers if one.ended == "finished"}
    return len(kinds) == len(scene.customers)


def _waiting() -> list[str]:
    """The streams that have messages."""
    return [stream for stream in STREAMS if client().xlen(stream)]


def _strays() -> list[str]:
    """What no run may leave: records that were set aside, and other charges than those told."""
    found = []
    if count := client().xlen(DEAD_STREAM):
        found.append(f"{count} records are set aside")
    found += [f"drift: {one}" for one in Drift.objects.filter(kind=DriftKind.CHARGE)]
    return found
