"""One run: months of usage, a close that is killed, everything back, and what must hold then."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from time import sleep
from typing import Any, Final

from django.db import Error, connection

from billing.ingest import ingest
from tests.billing.records import put
from tests.kills.closes.cases import Scene, case_of, kill_at_random
from tests.kills.closes.oracle import Oracle
from tests.kills.closes.usage import LATE, customers_make
from tests.kills.closes.world import World
from tests.kills.processes import wait_until

CLOSED_S: Final = 300
LOOKED_EACH_S: Final = 0.3


@dataclass
class Report:
    """What a run did, and `breaks`: what did not hold."""

    run: int
    case: str
    invoices: int = 0
    kills: int = 0
    breaks: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    oracle: Oracle | None = None

    def again(self) -> list[str]:
        """What was closed, and was changed by a later run."""
        if self.oracle is None or self.breaks or self.oracle.kept() == self.kept:
            return []
        return [f"later, run {self.run}, {self.case}: its invoices are others"]

    def counts(self) -> dict[str, int]:
        return {"kills": self.kills, "invoices": self.invoices}


class Run:
    """The world rests when it begins, and when it ends."""

    def __init__(self, world: World, number: int) -> None:
        self._world, self._random = world, Random(number)  # noqa: S311 - to be repeated
        name, self._case = case_of(number)
        self.report = Report(number, name)

    def play(self) -> Report:
        """AssertionErrors, of what never came, are breaks as well."""
        try:
            self._play()
        except AssertionError as error:
            self.report.breaks.append(str(error))
            self._world.restore()
            self._world.connect()
            self._world.rest()
        return self.report

    def _play(self) -> None:
        report = self.report
        customers = customers_make(report.run, self._random)
        put(*(record for one in customers for record in one.records[LATE:]))
        while ingest():
            pass
        oracle = report.oracle = Oracle(customers)
        scene = Scene(self._world, customers, self._random, lambda: not _owed(oracle))
        try:
            self._case(scene)
            put(*(record for one in customers for record in one.records[:LATE]))
            kill_at_random(scene)
        finally:
            report.kills = scene.kills
        self._close(oracle)
        report.invoices, report.kept = len(oracle.invoices()), oracle.kept()
        report.breaks += oracle.breaks(self._world.stripe_read())

    def _close(self, oracle: Oracle) -> None:
        self._world.restore()
        self._world.connect()
        left = list[str]()

        def is_closed() -> bool:
            sleep(LOOKED_EACH_S)  # the others have work to do
            left[:] = _owed(oracle)
            return not left

        try:
            wait_until(is_closed, "all is closed", CLOSED_S)
        except AssertionError:
            raise AssertionError(f"after {CLOSED_S} s {len(left)} left: {left[:3]}") from None
        self._world.rest()


def _owed(oracle: Oracle) -> list[str]:
    try:
        return oracle.owed()
    except Error as error:  # it was killed a moment ago
        connection.close()
        return [str(error)]
