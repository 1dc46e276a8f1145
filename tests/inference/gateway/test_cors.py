"""Who may read an answer in a browser: everyone, or the origins that are named."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.inference.gateway.conftest import Running, World, chat, gateway_running

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"
APP, OTHER = "https://app.test", "https://other.test:8443"
ALLOWED = "access-control-allow-origin"
READABLE = {
    "x-request-id", "request-id", "x-sluice-region", "x-sluice-fallback", "x-sluice-cost",
    "retry-after", "deprecation", "sunset", "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens",
}  # fmt: skip


@pytest.fixture(scope="module")
def choosy(world: World) -> Iterator[Running]:
    """A gateway for the pages of two origins."""
    with gateway_running(GATEWAY_CORS_ORIGINS=f"{APP},{OTHER}") as running:
        yield running


def answers(running: Running, key: str, origin: str | None) -> Iterator[httpx.Response]:
    """Of every kind: whole, streamed, refused, and to a preflight."""
    headers = {"Authorization": f"Bearer {key}"} | ({"Origin": origin} if origin else {})
    with httpx.Client(base_url=running.url, headers=headers) as client:
        yield client.post(CHAT, json=chat(max_tokens=1))
        yield client.post(CHAT, json=chat(max_tokens=1, stream=True))
        yield client.post(CHAT, json={})
        yield client.get("/v1/nothing")
        yield client.get("/v1/models", headers={"Authorization": "Bearer x"})
        yield client.options(CHAT, headers={"Access-Control-Request-Method": "POST"})


def readable_in(answer: httpx.Response) -> set[str]:
    return set(answer.headers["access-control-expose-headers"].split(", "))


def test_every_origin_may_read_unless_some_are_named(gateway: Running, key: str) -> None:
    for origin in (APP, "null", None):
        for answer in answers(gateway, key, origin):
            assert answer.headers[ALLOWED] == "*"
            assert readable_in(answer) == READABLE
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [APP, OTHER])
def test_a_named_origin_may_read(choosy: Running, key: str, origin: str) -> None:
    for answer in answers(choosy, key, origin):
        assert answer.headers[ALLOWED] == origin
        assert readable_in(answer) == READABLE
        assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize(
    "origin",
    [None, "null", "*", "https://evil.test", f"{APP}.evil.test", "https://xapp.test", f"{APP}:444",
     "http://app.test", "HTTPS://APP.TEST", f"{APP}/", f"{APP},{OTHER}", f"{APP} {OTHER}"],
)  # fmt: skip
def test_no_other_origin_may_read(choosy: Running, key: str, origin: str | None) -> None:
    for answer in answers(choosy, key, origin):
        assert ALLOWED not in answer.headers
        assert "access-control-expose-headers" not in answer.headers
        assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/messages", "/v1/nothing", "/"])
def test_a_preflight_tells_what_a_page_may_send(gateway: Running, path: str) -> None:
    asked = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-stainless-lang",
    }
    answer = httpx.options(gateway.url + path, headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
    # browsers do not count `Authorization` among `*`
    assert answer.headers["access-control-allow-headers"].split(", ") == ["*", "Authorization"]
    assert int(answer.headers["access-control-max-age"]) > 0
