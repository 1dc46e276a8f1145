"""`make up`: the supervisor, the run folder and the demo data."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing.exchange import exchange_rate_on
from billing.models import ExchangeRate
from console import local
from console.demo_models import GEMMA, MINILM, TINY_LLAMA
from console.leftovers import leftovers_kill
from console.machine import NoSuchEngine, PortTaken, demo_models_chosen, port_check
from console.management.commands.demo import Known, demo_make
from console.management.commands.up import until_signal
from console.supervisor import BoundedLog, Service, StartFailed, Supervisor
from inference.models import Backend, Model
from tenants.keys import key_digest
from tenants.models import ApiKey, Organization, User

DEADLINE_S = 60
ENGINE_URL = "http://127.0.0.1:9"
SERVED = {GEMMA.public_id: ENGINE_URL}
SLEEP = "import time; time.sleep(60)"

# Writes its process id and that of a child of its own, and waits.
FAMILY = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
file = pathlib.Path(sys.argv[1])
file.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
file.with_suffix(".part").replace(file)
time.sleep(60)
"""

# Supervises the command it is given, and keeps its logs in the folder before it.
SUPERVISOR = """
import asyncio, os, pathlib, sys
from console.supervisor import Service, Supervisor
async def main():
    service = Service("family", sys.argv[2:], env=os.environ)
    await Supervisor(pathlib.Path(sys.argv[1]), print).start(service)
    await asyncio.sleep(60)
asyncio.run(main())
"""


class Family:
    """A service of two processes that can be watched."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pids"
        self.service = Service(
            "family", [sys.executable, "-c", FAMILY, str(self.file)], self._is_ready, os.environ
        )

    def pids(self) -> list[int]:
        return [int(pid) for pid in self.file.read_text().split()]

    async def _is_ready(self) -> bool:
        return self.file.exists()


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "logs", said.append)
    yield supervisor
    await supervisor.stop()


def wait(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


async def until(happened: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait, happened)


def runs(pid: int) -> bool:
    """Whether `pid` runs; one that has ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_taken_port_is_an_error_that_names_what_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"Port {port} is taken .* CONSOLE_PORT=\d+ make up"):
            port_check("CONSOLE_PORT", port)
    port_check("CONSOLE_PORT", port)


async def test_what_dies_is_started_again_and_it_is_said(
    family: Family, supervisor: Supervisor, said: list[str]
) -> None:
    await supervisor.start(family.service)
    before = family.pids()
    family.file.unlink()
    os.kill(before[0], signal.SIGKILL)
    await until(lambda: "family is back" in said)
    assert said[0] == "family died (signal SIGKILL); starting it again in 0.5 s"
    assert all(runs(pid) for pid in family.pids())
    assert not any(runs(pid) for pid in before), "what it had started ends with it"


async def test_stopping_leaves_nothing_running(family: Family, supervisor: Supervisor) -> None:
    await supervisor.start(family.service)
    pids = family.pids()
    await supervisor.stop()
    await until(lambda: not any(runs(pid) for pid in pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_everything(
    number: signal.Signals, family: Family, supervisor: Supervisor
) -> None:
    running = asyncio.create_task(
        until_signal(lambda: supervisor.start(family.service), supervisor.stop)
    )
    await until(family.file.exists)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(running, DEADLINE_S)
    await until(lambda: not any(runs(pid) for pid in family.pids()))


async def test_what_cannot_start_says_why(supervisor: Supervisor) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with pytest.raises(StartFailed, match=r"(?s)engine failed\..*no such model"):
        await supervisor.start(Service("engine", argv, lambda: asyncio.sleep(0, result=False)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_takes_its_services_along(family: Family, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", SUPERVISOR, str(tmp_path / "logs"), *family.service.argv]
    with subprocess.Popen(argv, cwd=local.ROOT) as supervisor:  # noqa: S603
        wait(family.file.exists)
        supervisor.kill()
    wait(lambda: not runs(family.pids()[0]))
    os.kill(family.pids()[1], signal.SIGKILL)


def test_leftovers_are_found_by_their_mark_and_ended(tmp_path: Path) -> None:
    marked = {**os.environ, local.MARK: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", SLEEP], env=marked) as left:  # noqa: S603
        assert leftovers_kill(tmp_path / "other") == 0
        assert left.poll() is None
        assert leftovers_kill(tmp_path) == 1
    assert not runs(left.pid)


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "a.log", max_bytes=100)
    for _ in range(100):
        log.write(b"twelve bytes")
    log.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 100


def test_secrets_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    made = local.secrets_make(tmp_path / "run")
    assert local.secrets_make(tmp_path / "run") == made
    assert all(len(value) >= 32 for value in made.values())
    assert stat.S_IMODE((tmp_path / "run" / "env").stat().st_mode) == 0o600


def test_one_supervisor_holds_a_run_folder(tmp_path: Path) -> None:
    assert local.supervisor_pid(tmp_path) is None
    with local.lock(tmp_path):
        assert local.supervisor_pid(tmp_path) == os.getpid()
        with pytest.raises(local.AlreadyRunning), local.lock(tmp_path):
            pass
    assert local.supervisor_pid(tmp_path) is None


@pytest.mark.django_db
def test_demo_data_is_made_once() -> None:
    first = demo_make({}, served=SERVED)
    kinds = (User, Organization, ApiKey, Model, Backend, ExchangeRate)
    counts = [kind.objects.count() for kind in kinds]
    assert demo_make(known(first), served=SERVED) == first
    assert counts == [kind.objects.count() for kind in kinds]
    assert exchange_rate_on(timezone.now().date()), "else invoices with Swedish VAT halt"


@pytest.mark.django_db
def test_the_demo_logins_work() -> None:
    made = demo_make({}, served=SERVED)
    for who, is_staff in (("operator", True), ("customer", False)):
        user = User.objects.get(email=made[who]["email"])
        assert user.check_password(made[who]["password"])
        assert user.is_staff is is_staff


@pytest.mark.django_db
def test_lost_demo_secrets_are_replaced() -> None:
    lost = demo_make({}, served=SERVED)
    made = demo_make({}, served=SERVED)
    active = ApiKey.objects.active().values_list("digest", flat=True)
    assert [bytes(digest) for digest in active] == [key_digest(made["api_key"])]
    assert User.objects.get(email=made["customer"]["email"]).check_password(
        made["customer"]["password"]
    )
    assert made["customer"]["password"] != lost["customer"]["password"]


@pytest.mark.django_db
def test_the_demo_backend_follows_its_engine() -> None:
    demo_make({}, served=SERVED)
    demo_make({}, served={GEMMA.public_id: "http://127.0.0.1:10"})
    assert Backend.objects.get().base_url == "http://127.0.0.1:10"


@pytest.mark.django_db
def test_the_models_of_the_engine_of_another_time_are_withdrawn() -> None:
    def offered() -> set[str]:
        return set(Model.objects.enabled().values_list("public_id", flat=True))

    def active() -> set[str]:
        return set(Backend.objects.filter(state="active").values_list("name", flat=True))

    first = demo_make({}, served=SERVED)
    vllm = {model.public_id: ENGINE_URL for model in (TINY_LLAMA, MINILM)}
    assert demo_make(known(first), served=vllm) == first | {"model": "tiny-llama"}
    assert offered() == {"tiny-llama", "all-minilm-l6-v2"}
    assert active() == {TINY_LLAMA.backend, MINILM.backend}
    assert demo_make(known(first), served=SERVED) == first
    assert (offered(), active()) == ({GEMMA.public_id}, {GEMMA.backend})


def test_an_engine_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "steam")
    with pytest.raises(NoSuchEngine, match="ENGINE=steam is none of: llamacpp, vllm"):
        demo_models_chosen()


@pytest.mark.django_db
def test_the_demo_file_holds_what_a_script_needs_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    call_command("demo", file=file, serve=[f"{GEMMA.public_id}={ENGINE_URL}"])
    made = json.loads(file.read_text())
    assert made.keys() == {
        *("console_url", "gateway_url", "api_key", "model", "operator", "customer"),
        *("organization", "management_url", "admin_key"),
    }
    assert made["management_url"].endswith("/api/v1")
    assert made["gateway_url"].endswith("/v1")
    assert Organization.objects.get().slug == made["organization"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def known(made: dict[str, object]) -> Known:
    result: Known = json.loads(json.dumps(made))
    return result
