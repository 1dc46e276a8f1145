"""Measure the gateway beside others before the same engine; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
from typing import Final

from tests.bench import servers
from tests.bench.measure import GROUPS
from tests.bench.runs import figures_take, run_folder, soak_hold
from tests.bench.servers import BenchError

FILES: Final = 8192
"""Each stream takes two in a proxy."""
PACKAGES: Final = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    options = _options()
    try:
        tools_need()
        machine_need()
        with run_folder(say) as folder:
            if options.soak:
                soak_hold(folder, options.soak, say)
            else:
                figures_take(folder, options.only or GROUPS, has_peers=options.peers, say=say)
    except BenchError as error:
        say(f"bench failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench stopped")
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", choices=GROUPS, help="some figures; nothing is written"
    )
    parser.add_argument("--peers", action="store_true", help="beside LiteLLM and vllm-router too")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="800 streams held open")
    return parser.parse_args()


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


def machine_need() -> None:
    """This process and all it starts live on the load's core; only the proxies get the other."""
    needed = {servers.PROXY_CORE, servers.LOAD_CORE}
    if not needed <= os.sched_getaffinity(0):
        raise BenchError("The bench needs cores 0 and 1.")
    os.sched_setaffinity(0, {servers.LOAD_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))


if __name__ == "__main__":
    sys.exit(main())
