"""Between a customer and an engine passes what the API says, and nothing else, on every path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from inference.gateway.endpoints import ENDPOINTS
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.audio import speech
from tests.inference.gateway.conftest import DEAD, LISTENER, Running, World
from tests.inference.gateway.hostile.forms import FORMS
from tests.inference.gateway.hostile.good import BODIES

pytestmark = pytest.mark.django_db

MINE: Final = {
    "Cookie": "session=canary-cookie",
    "User-Agent": "canary-agent",
    "X-Request-Id": "canary-id",
    "X-Client-Request-Id": "canary-client-id",
    "X-Forwarded-For": "canary-address",
    "X-Custom": "canary-custom",
    "OpenAI-Organization": "canary-organization",
    "anthropic-beta": "canary-beta",
    "traceparent": "00-canary-trace",
    "priority": "canary-priority",
}
ENGINE_GETS: Final = {"authorization", "content-length", "content-type", "host", "x-request-id"}
CUSTOMER_GETS: Final = {
    "access-control-allow-origin", "access-control-expose-headers", "cache-control",
    "content-length", "content-type", "date", "request-id", "server", "transfer-encoding",
    "x-request-id", "x-sluice-cost", "x-sluice-region",
}  # fmt: skip
SALTED: Final = sorted(BODIES.keys() - {"messages/count_tokens"})
"""Whose engines keep what they read for the next request."""


@pytest.fixture
def mine(http: httpx.Client) -> httpx.Client:
    """A client that sends more than it should."""
    http.headers.update(MINE)
    return http


def ask(http: httpx.Client, path: str, text: str = "Hello", **fields: Any) -> httpx.Response:
    """A good request for `path` that says `text`."""
    if path in FORMS:
        data = {"model": LISTENER, "prompt": text, **{k: json.dumps(v) for k, v in fields.items()}}
        return http.post(f"/v1/{path}", data=data, files={"file": ("canary.wav", speech(say=text))})
    body = json.loads(json.dumps(BODIES[path]).replace("Hello", text)) | fields
    return http.post(f"/v1/{path}", json=body)


def secrets(world: World) -> Iterator[str]:
    """What only the operator knows: of the engine, its place and its words."""
    yield from ("tiny-llama", "engine-key", "alive", "EngineCore", "uvicorn", "Traceback")
    yield urlsplit(world.engine.url).netloc


def told(answer: httpx.Response) -> str:
    return f"{answer.headers.multi_items()} {answer.text}"


def streams(path: str) -> tuple[bool, ...]:
    return (False,) if path == "messages/count_tokens" else (False, True)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_an_engine_gets_none_of_the_customers_headers(
    mine: httpx.Client, engine: FakeVllm, key: str, path: str
) -> None:
    for stream in streams(path):
        answer = ask(mine, path, stream=stream)
        assert answer.status_code == 200, answer.text
        state = engine.state()
        headers = state["last_request_headers"]
        assert headers.keys() == ENGINE_GETS
        assert headers["authorization"] == "Bearer engine-key"
        assert headers["x-request-id"] == answer.headers["x-request-id"]
        assert "canary" not in json.dumps(state)
        assert key not in json.dumps(state)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_customer_gets_none_of_the_engines_headers(http: httpx.Client, path: str) -> None:
    for stream in streams(path):
        answer = ask(http, path, stream=stream)
        assert answer.headers.keys() <= CUSTOMER_GETS
        assert answer.headers["server"] == "granian"


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "text",
    ["Hello", "!status 400", "!status 401", "!status 404", "!status 422", "!status 500",
     "!status 503", "!garbage", "!die 1", "!late-fault"],
)  # fmt: skip
def test_no_answer_tells_of_the_engine(
    http: httpx.Client, world: World, path: str, text: str
) -> None:
    for stream in streams(path):
        answer = ask(http, path, text, stream=stream)
        assert [secret for secret in secrets(world) if secret in told(answer)] == []


def test_no_answer_tells_of_an_engine_that_is_not_there(http: httpx.Client, world: World) -> None:
    for stream in (False, True):
        answer = ask(http, "chat/completions", model=DEAD, stream=stream)
        assert answer.status_code == 502
        found = [secret for secret in (*secrets(world), "127.0.0.1") if secret in told(answer)]
        assert found == []


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/acme/tiny", "/v1/nothing", "/healthz", "/readyz", "/openapi.json"],
)
def test_no_page_tells_of_the_engine(http: httpx.Client, world: World, path: str) -> None:
    answer = http.get(path)
    assert [secret for secret in secrets(world) if secret in told(answer)] == []


def test_the_engines_own_name_of_a_model_is_no_name(http: httpx.Client) -> None:
    for path in BODIES:
        assert ask(http, path, model="tiny-llama").status_code == 404


def test_each_organization_has_one_salt_on_every_path(
    gateway: Running, world: World, engine: FakeVllm
) -> None:
    salts = [
        {salt_of(gateway, key, engine, path) for path in SALTED}
        for key in (world.cast.key.secret, world.cast.rival_key.secret)
    ]
    assert [len(found) for found in salts] == [1, 1]
    assert not salts[0] & salts[1]


def salt_of(gateway: Running, key: str, engine: FakeVllm, path: str) -> str:
    with httpx.Client(base_url=gateway.url, headers={"x-api-key": key}) as client:
        assert ask(client, path).status_code == 200
    salt: str = engine.state()["last_request_body"]["cache_salt"]
    assert len(salt) == 64
    return salt


def test_no_two_requests_share_an_id(http: httpx.Client, engine: FakeVllm) -> None:
    ids = [ask(http, path).headers["x-request-id"] for path in ENDPOINTS for _ in range(2)]
    assert len(set(ids)) == len(ids)
