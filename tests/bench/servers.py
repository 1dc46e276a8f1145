"""The processes of a run: the platform on its stores, nginx, the fake engine. All end with it."""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import engine

if TYPE_CHECKING:
    from tenants.models import Organization

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
PROXY_CORE: Final = 0
LOAD_CORE: Final = 1
START_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 20
NEVER_REACHED: Final = 10_000_000
MAX_IN_FLIGHT: Final = 10_000
"""Nothing waits in the gateway: what is measured is its way, not a queue."""


class BenchError(Exception):
    """The run cannot go on, or its figures cannot be trusted; the text says why."""


@dataclass(frozen=True)
class Proxy:
    """What is measured. `url` is that of chat completions.

    `events` is how many a stream of its has. What `may_fail` is measured as far as it goes, and
    loaded for `slowness` times as long.
    """

    name: str
    url: str
    api_key: str
    pid: int
    events: int = engine.EVENTS
    may_fail: bool = False
    slowness: int = 1


@contextmanager
def process(
    name: str, *command: str | Path, folder: Path, core: int = LOAD_CORE
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, in a session of its own so that Ctrl-C stops it through us."""
    line = ["taskset", "-c", str(core), *(str(part) for part in command)]
    with (folder / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603
            line, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
    try:
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a process; what it has left running after 20 s ends with it."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def wait_until_answering(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a 200; BenchError with the end of the log when the process ends or takes long."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while child.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise BenchError(f"{url} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def engine_running(folder: Path, port: int) -> Iterator[str]:
    """The fast fake engine; yields its URL."""
    url = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "tests.bench.engine", str(port))
    with process("engine", *command, folder=folder) as child:
        wait_until_answering(f"{url}/state", child, folder / "engine.log")
        yield url


@contextmanager
def nginx_running(folder: Path, engine_url: str, port: int) -> Iterator[Proxy]:
    """nginx before the engine, one worker."""
    config = folder / "nginx.conf"
    config.write_text(_nginx_config(folder, engine_url, port))
    command = ("nginx", "-c", config, "-p", folder, "-e", folder / "nginx.err")
    with process("nginx", *command, folder=folder, core=PROXY_CORE) as child:
        wait_until_answering(f"http://127.0.0.1:{port}/", child, folder / "nginx.log")
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        yield Proxy("nginx", url, "none", child.pid)


def _nginx_config(folder: Path, engine_url: str, port: int) -> str:
    template = (Path(__file__).parent / "nginx.conf").read_text()
    values = {
        "@folder@": str(folder),
        "@engine@": engine_url.removeprefix("http://"),
        "@port@": str(port),
        "@user@": "user root;" if os.geteuid() == 0 else "",
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return template


@contextmanager
def stores_running(folder: Path) -> Iterator[None]:
    """PostgreSQL and Valkey, and the environment in which all processes of the run find them."""
    from console.embedded import Postgres, Running, Valkey

    with ExitStack() as stack:
        postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        for server in (postgres, valkey):
            stack.callback(Running(server).stop)
        os.environ |= postgres.environment | valkey.environment
        os.environ |= _environment(folder)
        yield


def _environment(folder: Path) -> Mapping[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "SPOOL_DIR": str(folder / "spool"),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "API_KEY_PEPPERS": secrets.token_urlsafe(32),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "STATIC_ROOT": str(folder / "static"),
        "LOG_LEVEL": "WARNING",
        "GATEWAY_OWN_CORES": "1",
    }


def platform_seed(engine_url: str) -> str:
    """Migrate and make what a request needs; returns the API key."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from tenants import services

    organization = services.organization_create(actor=None, name="Bench", slug="bench")
    project = services.project_create(actor=None, organization=organization, name="Bench")
    _model_seed(engine_url)
    _limits_seed(organization)
    return services.api_key_create(actor=None, project=project, name="Bench").secret


def _limits_seed(organization: Organization) -> None:
    """All that a request can be checked against: rates, a credit limit and a hard budget."""
    from billing.budgets import budget_set
    from billing.limiting import limit_set, terms_set
    from billing.models import LimitKind, Mode

    for kind in LimitKind:
        limit_set(actor=None, organization=organization, kind=kind, value=NEVER_REACHED)
    terms_set(
        actor=None,
        organization=organization,
        plan=None,
        mode=Mode.POSTPAID,
        credit_limit=Decimal(NEVER_REACHED),
    )
    budget_set(actor=None, organization=organization, amount=Decimal(NEVER_REACHED))


def _model_seed(engine_url: str) -> None:
    from billing.models import Component
    from billing.services import rate_set
    from inference import control
    from inference.models import Engine, Task

    region = control.region_create(
        actor=None, code="bench", site="Bench", country="SE", jurisdiction="EU"
    )
    backend = control.backend_register(
        actor=None, name="bench", base_url=engine_url, engine=Engine.VLLM, region=region
    )
    control.backend_update(actor=None, backend=backend, max_in_flight=MAX_IN_FLIGHT)
    model = control.model_create(
        actor=None,
        public_id=engine.MODEL,
        name="Bench",
        tasks=[Task.CHAT, Task.COMPLETION],
        context_tokens=32_768,
        owned_by="sluice",
    )
    for component in Component:
        rate_set(actor=None, model=engine.MODEL, component=component, price=Decimal("0.1"))
    control.model_deploy(actor=None, model=model, backend=backend, engine_model=engine.MODEL)
    control.model_set_enabled(actor=None, model=model, enabled=True)


@contextmanager
def workers_running(folder: Path) -> Iterator[None]:
    """The Celery worker and beat that move usage into PostgreSQL."""
    celery = (BIN / "celery", "-A", "console")
    schedule = folder / "beat-schedule"
    with (
        process("worker", *celery, "worker", "-c", "1", "-l", "WARNING", folder=folder),
        process("beat", *celery, "beat", "-s", schedule, "-l", "WARNING", folder=folder),
    ):
        yield


@contextmanager
def gateway_running(folder: Path, api_key: str, port: int) -> Iterator[Proxy]:
    """The gateway, one worker process, as `make up` runs it."""
    command = (sys.executable, "-m", "inference.gateway", "--port", str(port))
    with process("gateway", *command, folder=folder, core=PROXY_CORE) as child:
        wait_until_answering(f"http://127.0.0.1:{port}/readyz", child, folder / "gateway.log")
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        yield Proxy("gateway", url, api_key, child.pid)
