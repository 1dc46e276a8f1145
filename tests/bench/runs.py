"""A run from its first process to its last."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvloop

from tests.bench import servers
from tests.bench.measure import Figures, Meter
from tests.bench.peers import PEERS, peer_running
from tests.bench.report import Report
from tests.bench.servers import BenchError, Proxy
from tests.bench.soak import soak

type Say = Callable[[str], None]

INGEST_TIMEOUT_S: Final = 60


@contextmanager
def run_folder(say: Say) -> Iterator[Path]:
    """A folder for the stores and logs of the run; kept only when it fails."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    folder.chmod(0o755)  # PostgreSQL runs as a user of its own
    try:
        yield folder
    except BenchError:
        say(f"logs: {folder}/*.log")
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def figures_take(folder: Path, groups: Collection[str], *, has_peers: bool, say: Say) -> None:
    """Measure the gateway and the others, and print it; only a whole run is written down."""
    with servers.engine_running(folder, _port()) as engine_url:
        with servers.nginx_running(folder, engine_url, _port()) as proxy:
            nginx = Meter(proxy, say).measure(groups)
        peers = list(_peers(folder, engine_url, groups, say)) if has_peers else []
        gateway, events = _through_gateway(
            folder, engine_url, lambda proxy: Meter(proxy, say).measure(groups), say
        )
    if events < gateway.answered:
        raise BenchError(f"{gateway.answered:,} requests were answered, and fewer metered.")
    report = Report(gateway, [nginx, *peers])
    print(report.text())  # noqa: T201
    if report.is_whole:
        report.write(events)


def soak_hold(folder: Path, minutes: float, say: Say) -> None:
    """Hold 800 streams for `minutes`."""
    with servers.engine_running(folder, _port()) as engine_url:
        answered, events = _through_gateway(
            folder, engine_url, lambda proxy: uvloop.run(soak(proxy, minutes, say)), say
        )
    if events < answered:
        raise BenchError(f"{answered:,} streams ended, and fewer were metered.")


def _peers(folder: Path, engine_url: str, groups: Collection[str], say: Say) -> Iterator[Figures]:
    """What each does; of one that does not run here, why."""
    for peer in PEERS:
        say(f"{peer.name}: start")
        try:
            with peer_running(folder, peer, engine_url, _port()) as proxy:
                yield Meter(proxy, say).measure(groups)
        except BenchError as error:
            say(f"{peer.name}: {error}")
            yield Figures(peer.name, faults=[str(error)])


def _through_gateway[T](
    folder: Path, engine_url: str, take: Callable[[Proxy], T], say: Say
) -> tuple[T, int]:
    """What `take` gives, and how many requests reached the engine: each is a usage event."""
    with servers.stores_running(folder):
        say("gateway: start")
        api_key = servers.platform_seed(engine_url)
        with servers.workers_running(folder):
            before = _reached(engine_url)
            with servers.gateway_running(folder, api_key, _port()) as proxy:
                taken = take(proxy)
            return taken, _metered(_reached(engine_url) - before, say)


def _reached(engine_url: str) -> int:
    """How many requests have reached the engine."""
    with urllib.request.urlopen(f"{engine_url}/state", timeout=5) as answer:  # noqa: S310
        count: int = json.load(answer)["requests"]
    return count


def _metered(reached: int, say: Say) -> int:
    """The usage events: one for each request that reached the engine, else BenchError."""
    from billing.models import UsageEvent

    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while (events := UsageEvent.objects.count()) < reached and time.monotonic() < deadline:
        time.sleep(0.2)
    say(f"{reached:,} requests reached the engine; {events:,} usage events")
    if events != reached:
        raise BenchError("The usage events are not the requests.")
    return events


def _port() -> int:
    from console.embedded import free_port

    return free_port()
