from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import override

import pytest

from inference import control, probes
from inference.engines import EngineLoad
from inference.models import Backend, Region
from inference.probes import backend_check
from tests import fake_vllm
from tests.conftest import Cast

NOT_AN_ENGINE = "The answer is not that of an OpenAI-compatible engine."


def register(cast: Cast, region: Region, url: str, key: str = "") -> Backend:
    return control.backend_register(
        actor=cast.oskar, name="gpu-2", base_url=url, engine="vllm", region=region, key=key
    )


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """The URL of a server that answers all with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_engine_that_runs_names_its_models(cast: Cast, region: Region) -> None:
    with fake_vllm.running(model="tiny") as engine:
        check = backend_check(register(cast, region, engine.url))
    assert check.ok
    assert check.models == ("tiny",)
    assert not check.error


def test_a_dead_engine_is_said_to_be_so(backend: Backend) -> None:
    check = backend_check(backend)
    assert not check.ok
    assert check.error == "Could not connect."


@pytest.mark.parametrize(("key", "ok"), [("right", True), ("wrong", False), ("", False)])
def test_the_engines_key_is_sent(cast: Cast, region: Region, key: str, ok: bool) -> None:
    with fake_vllm.running(model="tiny", api_keys=("right",)) as engine:
        check = backend_check(register(cast, region, engine.url, key))
    assert check.ok is ok
    assert ok or check.error == "The engine refused our key."


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"<html>", 200, NOT_AN_ENGINE),
        (b'{"data":[{"id":3}]}', 200, NOT_AN_ENGINE),
        (b'{"data":' + b"[" * 100_000, 200, NOT_AN_ENGINE),
        (b" " * (2 << 20), 200, NOT_AN_ENGINE),
        (b"", 503, "The engine answered HTTP 503."),
        (b"", 302, "The engine answered HTTP 302."),
    ],
    ids=["html", "wrong types", "deep", "large", "unwell", "elsewhere"],
)
def test_garbage_is_a_failed_check(
    cast: Cast, region: Region, body: bytes, status: int, error: str
) -> None:
    with answering(body, status) as url:
        check = backend_check(register(cast, region, url))
    assert (check.ok, check.error, check.models) == (False, error, ())


async def test_the_load_of_an_engine_is_read() -> None:
    with fake_vllm.running() as engine:
        async with probes.session("test") as asking:
            load = await probes.scrape(asking, engine.url, "vllm", "")
    assert load == EngineLoad(0, 0, 0.0, 999, 384, input_tokens=0, output_tokens=0)


async def test_an_engine_without_metrics_has_no_load() -> None:
    with answering(b"", 404) as url:
        async with probes.session("test") as asking:
            assert await probes.scrape(asking, url, "vllm", "") is None
