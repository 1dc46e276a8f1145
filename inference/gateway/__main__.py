"""`python -m inference.gateway`: the processes of one gateway, which behave as one."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace

from django.conf import settings
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings

from inference.gateway.serving import HEADERS_TIMEOUT_MS, MAX_CONNECTIONS, GatewayServer


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    arguments = _arguments()
    server = GatewayServer(
        "inference.gateway.asgi:application",
        address=arguments.host,
        port=arguments.port,
        interface=Interfaces.ASGI,
        workers=settings.GATEWAY_WORKERS,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=arguments.headers_timeout_ms),
        websockets=False,
        backpressure=MAX_CONNECTIONS,
        respawn_failed_workers=True,
        drain_s=settings.GATEWAY_DRAIN_DELAY_S + settings.GATEWAY_DRAIN_S,
    )
    _allow_open_files()
    if settings.GATEWAY_WORKERS > 1:
        _share_metrics(server)
    server.serve()


def _arguments() -> Namespace:
    parser = ArgumentParser("inference.gateway", formatter_class=ArgumentDefaultsHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    text = "a connection that sends no whole set of headers for so long is closed"
    parser.add_argument(
        "--headers-timeout-ms", type=int, default=HEADERS_TIMEOUT_MS, help=text, metavar="MS"
    )
    return parser.parse_args()


def _allow_open_files() -> None:
    """As many as the system lets this user have: a stream takes two."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _share_metrics(server: GatewayServer) -> None:
    """Give the processes a folder where each keeps its figures; it is gone with the last one."""
    folder = tempfile.mkdtemp(prefix="sluice-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    server.on_shutdown(lambda: shutil.rmtree(folder, ignore_errors=True))


if __name__ == "__main__":
    main()
