"""How each figure is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import uvloop
from msgspec.structs import replace

from tests.bench import procs
from tests.bench.servers import PROXY_CORE, BenchError, Proxy
from tests.bench.streams import STREAMS, paced
from tests.bench.wrk import Load, Run, wrk_run

GROUPS: Final = ("paced", "nonstream", "streams")
CLIENTS: Final = 32
RUNS: Final = 3
SHORTEST_PAUSE_MS: Final = 10
CALM_SHARE: Final = 0.1
CALM_TIMEOUT_S: Final = 30


@dataclass
class Figures:
    """The figures of one proxy, by the keys of `report.ROWS`.

    `answered` is how many whole answers the clients counted, `others_share` how much of the
    proxy's core other processes took, and `faults` why figures are missing.
    """

    name: str
    values: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    answered: int = 0
    others_share: float = 0


class Meter:
    """Takes the figures of one proxy and counts the answers."""

    def __init__(self, proxy: Proxy, say: Callable[[str], None]) -> None:
        self._proxy, self._say = proxy, say
        self._figures = Figures(proxy.name)

    def measure(self, groups: Collection[str]) -> Figures:
        """About 50 s for all groups. BenchError when one fails, unless that is what peers do."""
        start_s, others_s = time.monotonic(), self._others_s()
        self._load(Load(clients=4, seconds=1))
        for group, take in self._takes().items():
            if group in groups:
                self._say(f"{self._proxy.name}: {group}")
                self._try(take)
        took_s = time.monotonic() - start_s
        self._figures.others_share = (self._others_s() - others_s) / took_s
        return self._figures

    def _takes(self) -> Mapping[str, Callable[[], Mapping[str, float]]]:
        """Memory comes first: later the process lives on what it freed."""
        return {"paced": self._paced, "nonstream": self._nonstream, "streams": self._streams}

    def _try(self, take: Callable[[], Mapping[str, float]]) -> None:
        try:
            self._figures.values |= take()
        except BenchError as error:
            if not self._proxy.may_fail:
                raise BenchError(f"{self._proxy.name}: {error}") from error
            self._say(f"{self._proxy.name}: {error}")
            self._figures.faults.append(str(error))
        self._wait_until_calm()

    def _others_s(self) -> float:
        return procs.core_cpu_s(PROXY_CORE) - procs.cpu_s(self._proxy.pid)

    def _wait_until_calm(self) -> None:
        """What a group leaves behind is not the next one's."""
        deadline = time.monotonic() + CALM_TIMEOUT_S
        while time.monotonic() < deadline:
            cpu_s = procs.cpu_s(self._proxy.pid)
            time.sleep(0.5)
            if procs.cpu_s(self._proxy.pid) - cpu_s < 0.5 * CALM_SHARE:
                return

    def _paced(self) -> Mapping[str, float]:
        cpu_s, kb = uvloop.run(paced(self._proxy))
        self._figures.answered += STREAMS
        return {"paced_cpu_s": cpu_s, "kb_per_stream": kb}

    def _nonstream(self) -> Mapping[str, float]:
        runs = self._runs(Load(clients=CLIENTS, seconds=2))
        rate = median(run.rate for run, _ in runs)
        p50_ms = median(run.p50_ms for run, _ in self._runs(Load(clients=1, seconds=1)))
        return {
            "nonstream_rps": rate,
            "nonstream_cpu_us": median(cpu_us for _, cpu_us in runs),
            "p50_ms": p50_ms,
            "p99_ms_half_load": self._half_load(rate, p50_ms),
        }

    def _half_load(self, rate: float, p50_ms: float) -> float:
        """p99 at half of `rate`, on as many connections as make the pauses long enough for wrk."""
        clients = max(CLIENTS, int(rate / 2 * SHORTEST_PAUSE_MS / 1000))
        pause_ms = clients / (rate / 2) * 1000 - p50_ms
        runs = self._runs(Load(clients=clients, seconds=3, pause_ms=pause_ms))
        return median(run.p99_ms for run, _ in runs)

    def _streams(self) -> Mapping[str, float]:
        runs = self._runs(Load(clients=CLIENTS, seconds=3, streamed=True))
        return {
            "streams_per_s": median(run.rate for run, _ in runs),
            "stream_cpu_us": median(cpu_us for _, cpu_us in runs),
        }

    def _runs(self, load: Load) -> list[tuple[Run, float]]:
        """Three runs, each with the proxy's CPU time of a request in µs; one before to warm up."""
        self._load(replace(load, seconds=1))
        return [self._timed(load) for _ in range(RUNS)]

    def _timed(self, load: Load) -> tuple[Run, float]:
        cpu_s = procs.cpu_s(self._proxy.pid)
        run = self._load(load)
        if not run.requests:
            raise BenchError(f"no answer to {load.clients} clients in {load.seconds} s.")
        return run, (procs.cpu_s(self._proxy.pid) - cpu_s) / run.requests * 1e6

    def _load(self, load: Load) -> Run:
        seconds = load.seconds * self._proxy.slowness
        run = wrk_run(self._proxy, replace(load, seconds=seconds))
        self._figures.answered += run.requests
        return run
