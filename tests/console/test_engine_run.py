"""`manage.py engine_run`, with the fake engine in place of vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from threading import Thread
from typing import Any, Final

import httpx2 as httpx
import pytest

from console import local
from console.engine_runner import EngineEnded, EngineRunner, Limits, NoRegion
from inference import control
from inference.engines.serve import Serving
from inference.models import Backend, BackendState, Deployment, Region, Task
from tenants.models import AuditEntry
from tenants.sealing import unseal
from tests.console.test_up import runs
from tests.fake_vllm.server import free_port
from tests.inference.gateway.conftest import wait_until
from tests.servers import services_url

pytestmark = pytest.mark.django_db(transaction=True)

START_S: Final = 30
VLLM: Final = """#!{python}
import json, os, pathlib, sys
sys.path.insert(0, {root!r})
key = os.environ["VLLM_API_KEY"]
pathlib.Path({seen!r}).write_text(json.dumps([sys.argv[1:], key, os.getpid()]))
flags = dict(flag[2:].split("=", 1) for flag in sys.argv if "=" in flag)
os.environ |= {{"FAKE_VLLM_MODEL": flags["served-model-name"], "FAKE_VLLM_API_KEYS": key}}
if "fail" in sys.argv[2]:
    sys.exit("no such model")
from tests.fake_vllm.__main__ import serve
serve(int(flags["port"]))
"""


class Engine:
    """The vLLM of a test, which `folder` holds, and what it was started with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port, self._seen = free_port(), folder / "seen"
        self.path = f"{folder}:{os.environ['PATH']}"
        vllm = folder / "vllm"
        names = {"python": sys.executable, "root": str(local.ROOT), "seen": str(self._seen)}
        vllm.write_text(VLLM.format(**names))
        vllm.chmod(0o755)

    def started(self) -> tuple[list[str], str, int]:
        """Its arguments, its key and its process."""
        argv, key, pid = json.loads(self._seen.read_text())
        return argv, key, pid

    def load(self) -> int:
        """The requests that it works on."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        found = re.search(r"(?m)^vllm:num_requests_running\S* (\d+)", text)
        assert found
        return int(found[1])

    def ask(self, text: str, **fields: Any) -> httpx.Response:
        body = {"model": "tiny", "messages": [{"role": "user", "content": text}], **fields}
        headers = {"Authorization": f"Bearer {self.started()[1]}"}
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        return httpx.post(url, json=body, headers=headers, timeout=START_S)


class Run:
    """An EngineRunner at work in a thread of its own."""

    def __init__(self, engine: Engine, *, drain_s: int = 60, model: str = "acme/tiny") -> None:
        self.engine, self.said = engine, list[str]()
        self._runner = EngineRunner(
            Serving(model, "tiny", engine.port),
            backend="tiny", region=None, limits=Limits(START_S, drain_s), say=self.said.append,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._work())
        self._thread = Thread(target=self._main)
        self._thread.start()

    def _main(self) -> None:
        with closing(self._loop) as loop:
            loop.run_until_complete(self._task)

    async def _work(self) -> str:
        problem = ""
        try:
            await self._runner.run()
        except asyncio.CancelledError:
            pass
        except (EngineEnded, NoRegion) as ended:
            problem = str(ended)
        await self._runner.stop()
        return problem

    def stop(self) -> str:
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._task.cancel)
        return self.ended()

    def ended(self) -> str:
        """What was wrong, once it has ended."""
        self._thread.join(START_S)
        return self._task.result()


type Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a vLLM and its runner."""
    monkeypatch.setattr("console.engine_runner.ROUTES_CHANGE_S", 0.2)
    monkeypatch.setattr("console.engine_runner.POLL_S", 0.05)
    runs: list[Run] = []

    def run(**options: Any) -> Run:
        engine = Engine(tmp_path / str(len(runs)))
        monkeypatch.setenv("PATH", engine.path)
        runs.append(Run(engine, **options))
        return runs[-1]

    yield run
    for each in runs:
        each.stop()


@pytest.fixture(autouse=True)
def region() -> Region:
    return control.region_create(
        actor=None, code="se-lulea", site="Luleå", country="SE", jurisdiction="EU"
    )


def state() -> str | None:
    return Backend.objects.values_list("state", flat=True).first()


def wait_for(wanted: BackendState) -> Backend:
    wait_until(lambda: state() == wanted, START_S)
    return Backend.objects.get()


def test_the_command_starts_an_engine_with_what_the_gateway_relies_on(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine")
    options = ["--tensor-parallel=2", "--tool-parser=hermes", "--max-model-len=2048", "--", "--x=7"]
    with command("acme/tiny", f"--port={engine.port}", *options, path=engine.path) as process:
        output = process.stdout
        assert output
        backend = wait_for(BackendState.ACTIVE)
        argv, key, _pid = engine.started()
        assert argv[:2] == ["serve", "acme/tiny"]
        assert {
            "--served-model-name=tiny", "--enable-prompt-tokens-details",
            "--enable-request-id-headers",
            "--scheduling-policy=priority", "--host=127.0.0.1",
            "--tensor-parallel-size=2", "--max-model-len=2048", "--enable-auto-tool-choice",
            "--tool-call-parser=hermes", "--shutdown-timeout=30",
        } <= {*argv}  # fmt: skip
        assert argv[-1] == "--x=7"
        assert key not in " ".join(argv)
        assert unseal(bytes(backend.sealed_key)) == key
        said = "".join(takewhile(lambda line: "tiny: healthy, 0 running" not in line, output))
        assert "The catalog has no model tiny: add it" in said
        process.send_signal(signal.SIGINT)
        assert "Draining" in output.read()
        assert process.wait(START_S) == 0
    assert state() == BackendState.DISABLED


@contextmanager
def command(*options: str, path: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "manage.py", "engine_run", *options], cwd=local.ROOT, text=True,
        env=os.environ | {"DATABASE_URL": services_url(), "PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_the_model_of_the_catalog_is_deployed(start: Start) -> None:
    control.model_create(
        actor=None, public_id="tiny", name="Tiny", tasks=[Task.CHAT], context_tokens=2048,
        owned_by="Acme",
    )  # fmt: skip
    run = start()
    wait_until(Deployment.objects.exists, START_S)
    deployment = Deployment.objects.get()
    assert (deployment.model.public_id, deployment.engine_model) == ("tiny", "tiny")
    assert "--enable-prompt-tokens-details" in deployment.engine_flags
    assert deployment.backend.base_url == f"http://127.0.0.1:{run.engine.port}"
    assert run.engine.ask("Hello").status_code == 200


def test_what_runs_is_finished_before_the_engine_ends(start: Start) -> None:
    run = start()
    wait_for(BackendState.ACTIVE)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(run.engine.ask, "!delay 50", max_tokens=20)
        wait_until(lambda: run.engine.load() == 1)
        assert run.stop() == ""
        assert asked.result().json()["usage"]["completion_tokens"] == 20
    assert not runs(run.engine.started()[2])
    acts = AuditEntry.objects.filter(target_type="backend").order_by("id")
    assert [(entry.action, entry.data.get("after")) for entry in acts] == [
        ("backend.register", None),
        ("backend.set_state", "draining"),
        ("backend.set_state", "disabled"),
    ]


def test_draining_has_an_end(start: Start) -> None:
    run = start(drain_s=1)
    wait_for(BackendState.ACTIVE)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(run.engine.ask, "!stall")
        wait_until(lambda: run.engine.load() == 1)
        run.stop()
        assert isinstance(asked.exception(), httpx.TransportError)
    assert state() == BackendState.DISABLED
    assert "Some requests still run; vLLM is told to end." in run.said


def test_an_engine_that_dies_takes_its_backend_out(start: Start) -> None:
    run = start()
    wait_for(BackendState.ACTIVE)
    os.kill(run.engine.started()[2], signal.SIGKILL)
    assert run.ended() == "vLLM ended with status -9; what it wrote says why."
    assert state() == BackendState.DISABLED


def test_an_engine_that_cannot_start_is_no_backend(start: Start) -> None:
    assert start(model="acme/fail").ended().startswith("vLLM ended with status 1")
    assert state() is None


def test_a_backend_that_comes_again_has_moved_and_has_a_new_key(start: Start) -> None:
    first = start()
    before = wait_for(BackendState.ACTIVE)
    first.stop()
    second = start()
    after = wait_for(BackendState.ACTIVE)
    assert (after.pk, after.base_url) == (before.pk, f"http://127.0.0.1:{second.engine.port}")
    assert unseal(bytes(after.sealed_key)) == second.engine.started()[1]


def test_an_old_engine_that_ends_leaves_the_new_one_alone(start: Start) -> None:
    old = start()
    first = wait_for(BackendState.ACTIVE)
    start()
    wait_until(lambda: Backend.objects.get().base_url != first.base_url, START_S)
    old.stop()
    assert state() == BackendState.ACTIVE


def test_a_new_backend_needs_a_place(start: Start) -> None:
    control.region_create(
        actor=None, code="se-kiruna", site="Kiruna", country="SE", jurisdiction="EU"
    )
    assert "--region. There are: se-kiruna, se-lulea." in start().ended()
