"""What is now, for Prometheus: set when somebody asks, and each second where others may be asked.

Processes that share a port answer for each other: each keeps its figures in a folder of theirs,
PROMETHEUS_MULTIPROC_DIR, and whoever is asked adds them up.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from math import nan
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from inference.gateway import metrics
from inference.gateway.spool import REASONS, Spool
from inference.gateway.tally import hand_over
from inference.routing.breaker import Phase
from inference.routing.choice import State, saturation
from inference.snapshot import Route

if TYPE_CHECKING:
    from inference.gateway.gateway import Gateway

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
PERIOD_S: Final = 1.0
type Series = tuple[Gauge, tuple[str, ...]]
_BREAKER: Final = {Phase.CLOSED: 0, Phase.HALF_OPEN: 1, Phase.OPEN: 2}
_ADDED_UP: Final = frozenset({metrics.IN_FLIGHT, metrics.WAITING})
_ASKED: Final = frozenset({State.READY, State.TRYING})


class Gauges:
    """Of one process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._folder = os.environ.get(FOLDER)
        self._timer: asyncio.TimerHandle | None = None
        self._shown, self._showing = set[Series](), set[Series]()

    def start(self) -> None:
        if self._folder:
            self._publish()
            self._timer = asyncio.get_running_loop().call_later(PERIOD_S, self.start)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._publish()

    async def exposition(self) -> bytes:
        """All metrics of all processes, in the text format of Prometheus."""
        self._publish()
        if not self._folder:
            return generate_latest()
        return await asyncio.to_thread(_of_all, Path(self._folder))

    def _publish(self) -> None:
        hand_over()
        gateway = self._gateway
        metrics.DRAINING.set(gateway.drain.is_on)
        self._set_spool(gateway.metering.spool)
        if gateway.keeper.is_ready:
            metrics.SNAPSHOT_LOADED.set(time() - (monotonic() - gateway.keeper.loaded_at))
            self._set_models()
            self._forget()

    def _set_spool(self, spool: Spool) -> None:
        metrics.RECORDS_WAITING.set(spool.waiting)
        metrics.SPOOL_OLDEST_SECONDS.set(spool.oldest_s)
        for reason in REASONS:
            _child(metrics.SPOOL_CLOSED, reason).set(spool.closed_by == reason)

    def _set_models(self) -> None:
        waiting, backends = Counter[str](), dict[str, Route]()
        for row in self._gateway.waiting.seen():
            waiting[row.model] += row.waiting
        for model in self._gateway.keeper.snapshot.models.values():
            name, fleet = model.public_id, self._gateway.fleet
            ready = sum(fleet.state(route.backend_id) in _ASKED for route in model.routes)
            self._set(metrics.BACKENDS_READY, ready, name)
            self._set(metrics.WAITING, waiting[name], name)
            backends |= {route.backend: route for route in model.routes}
        self._set_backends(backends.values())

    def _set_backends(self, routes: Iterable[Route]) -> None:
        fleet, said = self._gateway.fleet, self._gateway.pulse.backends
        own = fleet.own
        for route in routes:
            backend, labels = fleet.look(route), (route.backend, route.region)
            known = said.get(route.backend_id)
            load = known.load if known and backend.waiting is not None else None
            running = load.running if load else None
            self._set(metrics.IN_FLIGHT, own[route.backend_id], *labels)
            self._set(metrics.BACKEND_UP, backend.state is not State.DOWN, *labels)
            self._set(metrics.BREAKER, _BREAKER[fleet.breaker(route.backend_id).phase], *labels)
            self._set(metrics.SATURATION, saturation(backend), *labels)
            self._set(metrics.ENGINE_RUNNING, running, *labels)
            self._set(metrics.ENGINE_WAITING, backend.waiting, *labels)
            self._set(metrics.ENGINE_KV_USE, backend.kv_use, *labels)

    def _set(self, gauge: Gauge, value: float | None, *labels: str) -> None:
        """None is what nobody knows."""
        _child(gauge, *labels).set(nan if value is None else value)
        self._showing.add((gauge, labels))

    def _forget(self) -> None:
        """Of what is there no more nothing is known: from a shared folder it cannot be removed."""
        for gauge, labels in self._shown - self._showing:
            _child(gauge, *labels).set(0 if gauge in _ADDED_UP else nan)
        self._shown, self._showing = self._showing, set()


@cache
def _child(gauge: Gauge, *labels: str) -> Gauge:
    return gauge.labels(*labels)


def _of_all(folder: Path) -> bytes:
    """The sums over all processes, those that ended included; of gauges only what is alive."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not _lives(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
