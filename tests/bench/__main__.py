"""Measure the gateway and nginx before the same engine, and write `.run/bench.json`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.bench import servers
from tests.bench.measure import Figures, Meter
from tests.bench.servers import BenchError

RESULT: Final = servers.ROOT / ".run" / "bench.json"
INGEST_TIMEOUT_S: Final = 60
PACKAGES: Final = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}
ROWS: Final = {
    "nonstream_rps": ("requests/s, 32 clients", "≥ 2,500", ",.0f"),
    "p50_ms": ("latency p50, one client, ms", "≤ 0.75", ".2f"),
    "p99_ms_half_load": ("latency p99 at half load, ms", "", ".2f"),
    "streams_per_s": ("streams of 100 chunks/s, 32 clients", "≥ 1,200", ",.0f"),
    "paced_cpu_s": ("CPU s per 10 s, 400 streams, 40 tokens/s", "≤ 3.0", ".2f"),
    "kb_per_stream": ("kB per open stream", "≤ 50", ".1f"),
}


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        tools_need()
        cores_need()
        with run_folder() as folder:
            gateway, nginx = measure(folder)
    except BenchError as error:
        say(f"bench failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench stopped")
        return 130
    report(gateway, nginx)
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def tools_need() -> None:
    """wrk and nginx from apt when root; else BenchError says how to get them."""
    missing = [package for tool, package in PACKAGES.items() if not shutil.which(tool)]
    if not missing:
        return
    install = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BenchError(f"Missing: {', '.join(missing)}. As root: {install}")
    say(f"installing {', '.join(missing)}")
    subprocess.run(  # noqa: S602 - our own words
        install, shell=True, check=True, stdout=subprocess.DEVNULL
    )


def cores_need() -> None:
    """This process and all it starts live on the load's core; only the proxies get the other."""
    needed = {servers.PROXY_CORE, servers.LOAD_CORE}
    if not needed <= os.sched_getaffinity(0):
        raise BenchError("The bench needs cores 0 and 1.")
    os.sched_setaffinity(0, {servers.LOAD_CORE})


@contextmanager
def run_folder() -> Iterator[Path]:
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


def measure(folder: Path) -> tuple[Figures, Figures]:
    from console.embedded import free_port

    engine_port, gateway_port, nginx_port = (free_port() for _ in range(3))
    with servers.engine_running(folder, engine_port) as engine_url:
        with servers.nginx_running(folder, engine_url, nginx_port) as proxy:
            nginx = Meter(proxy, say).measure()
        with servers.stores_running(folder):
            say("gateway: start")
            api_key = servers.platform_seed(engine_url)
            with servers.workers_running(folder):
                sent_before = sent(engine_url)
                with servers.gateway_running(folder, api_key, gateway_port) as proxy:
                    gateway = Meter(proxy, say).measure()
                events_check(gateway.answered, sent(engine_url) - sent_before)
    return gateway, nginx


def sent(engine_url: str) -> int:
    """How many requests have reached the engine."""
    with urllib.request.urlopen(f"{engine_url}/state", timeout=5) as answer:  # noqa: S310
        count: int = json.load(answer)["requests"]
    return count


def events_check(answered: int, reached: int) -> None:
    """Each request that reached the engine is one usage event; those cut at a run's end too."""
    from billing.models import UsageEvent

    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while (events := UsageEvent.objects.count()) < reached and time.monotonic() < deadline:
        time.sleep(0.2)
    say(f"usage events: {events:,}; requests at the engine: {reached:,}; answered: {answered:,}")
    if events != reached or events < answered:
        raise BenchError("The usage events are not the requests.")


def report(gateway: Figures, nginx: Figures) -> None:
    figures = {name: rounded(asdict(gateway)[name]) for name in ROWS}
    figures_nginx = {name: rounded(asdict(nginx)[name]) for name in ROWS}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**figures, "nginx": figures_nginx}, indent=2) + "\n")
    line = "{:<42} {:>10} {:>10} {:>10}"
    print(line.format("", "gateway", "goal", "nginx"))  # noqa: T201
    for name, (words, goal, form) in ROWS.items():
        cells = format(figures[name], form), goal, format(figures_nginx[name], form)
        print(line.format(words, *cells))  # noqa: T201


def rounded(value: float) -> float:
    return float(f"{value:.4g}") if value < 1000 else float(round(value))


if __name__ == "__main__":
    sys.exit(main())
