"""Whatever is wrong with a request: the right status, OpenAI's body, and what to do about it."""

from __future__ import annotations

import gzip
import json
import re
import socket
from typing import Any

import httpx2 as httpx
import pytest

from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import (
    COMPLETION_ONLY,
    DEAD,
    HALF_DEAD,
    IDLE,
    MODEL,
    Running,
    chat,
    record_of,
    records,
)

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def error_in(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer, which has the shape and the headers of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert UUID7.fullmatch(answer.headers["x-request-id"])
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    return error


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": MODEL}, "messages"),
        ({"model": 7, "messages": []}, "model"),
        ({"model": MODEL, "messages": []}, "messages"),
        ({"model": MODEL, "messages": "Hello"}, "messages"),
        ({"model": MODEL, "messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"model": MODEL, "messages": [{"role": "user"}]}, "messages[0]"),
        (chat(temperature="hot"), "temperature"),
        (chat(temperature=True), "temperature"),
        (chat(temperature=-1), "temperature"),
        (chat(max_tokens="5"), "max_tokens"),
        (chat(max_tokens=5.5), "max_tokens"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=10**30), "max_tokens"),
        (chat(stream="yes"), "stream"),
        (chat(stream=1), "stream"),
        (chat(n=9), "n"),
        (chat(stop=5), "stop"),
        (chat(top_p=0), "top_p"),
        (chat(logit_bias={"5": 1000}), "logit_bias[...]"),
        (chat(tools=[{"type": "function"}]), "tools[0].function"),
        (chat(response_format={"type": "xml"}), "response_format.type"),
    ],
)
def test_a_wrong_value_is_named(http: httpx.Client, body: dict[str, Any], param: str) -> None:
    error = error_in(http.post(CHAT, json=body), 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert param.partition("[")[0] in error["message"]
    assert records() == []


@pytest.mark.parametrize(
    "name",
    ["cache_salt", "priority", "kv_transfer_params", "lora_path", "guided_json", "chat_template"],
)
def test_what_the_engine_keeps_to_itself_is_refused_by_name(http: httpx.Client, name: str) -> None:
    error = error_in(http.post(CHAT, json=chat() | {name: None}), 400)
    assert error["param"] == name


def test_an_image_must_come_with_the_request(http: httpx.Client) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/secret.png"}}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [image]}]}
    assert "data:" in error_in(http.post(CHAT, json=body), 400)["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"hello", b"[]", b"null", b'{"model": NaN}', b'{"model": "\xff"}', b"[" * 90_000],
)
def test_bad_json_is_refused(http: httpx.Client, body: bytes) -> None:
    error_in(http.post(CHAT, content=body), 400)


def test_json_nested_too_deep_is_refused(http: httpx.Client) -> None:
    deep: Any = []
    for _ in range(70):
        deep = {"a": [deep]}
    assert "64" in error_in(http.post(CHAT, json=chat(anything=deep)), 400)["message"]


def test_gateway_and_engine_read_the_same_of_duplicate_names(
    http: httpx.Client, engine: FakeVllm
) -> None:
    body = f'{{"model":"{DEAD}","stream":true,' + json.dumps(chat(max_tokens=3))[1:]
    body = body.replace('"max_tokens": 3', '"max_tokens":9,"max_tokens":3')
    answer = http.post(CHAT, content=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    sent = engine.state()["last_request_body"]
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == ("tiny-llama", 3, True)


def test_what_the_engine_gets(http: httpx.Client, engine: FakeVllm) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    body = chat(
        "Hello", stream=True, temperature=0, tools=tools, future_field=1, user="u",
        stream_options={"include_usage": False, "include_obfuscation": True},
    )  # fmt: skip
    answer = http.post(CHAT, json=body, headers={"x-api-key": "", "x-request-id": "mine"})
    state = engine.state()
    sent = state["last_request_body"]
    salt = sent.pop("cache_salt")
    assert len(salt) == 64
    assert sent == {
        "model": "tiny-llama",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "temperature": 0.0,
        "tools": tools,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "priority": 100,
    }
    headers = state["last_request_headers"]
    assert headers["x-request-id"] == answer.headers["x-request-id"] != "mine"
    assert headers["authorization"] == "Bearer engine-key"


def test_each_organization_has_a_cache_of_its_own(
    gateway: Running, engine: FakeVllm, world: Any
) -> None:
    salts = []
    for key in (world.cast.key.secret, world.cast.rival_key.secret, world.cast.key.secret):
        httpx.post(gateway.url + CHAT, json=chat(), headers={"x-api-key": key})
        salts.append(engine.state()["last_request_body"]["cache_salt"])
    assert salts[0] == salts[2] != salts[1]


def test_a_body_too_large_is_refused_before_it_is_read(http: httpx.Client) -> None:
    error = error_in(http.post(CHAT, json=chat("x" * 400_000)), 413)
    assert "300,000" in error["message"]


def test_only_with_images_may_a_body_be_larger(http: httpx.Client) -> None:
    error = error_in(http.post(CHAT, json=chat("x" * 200_000)), 413)
    assert "100,000" in error["message"]


def test_a_body_too_large_without_a_length_is_refused(http: httpx.Client) -> None:
    error_in(http.post(CHAT, content=iter([b" " * 60_000] * 6)), 413)


def test_a_body_too_large_is_told_even_without_a_key(gateway: Running) -> None:
    error_in(httpx.post(gateway.url + CHAT, json=chat("x" * 400_000)), 413)


def test_a_large_body_is_not_read_without_a_key(gateway: Running) -> None:
    error_in(httpx.post(gateway.url + CHAT, json=chat("x" * 200_000)), 401)


def test_a_body_that_does_not_come_is_not_waited_for_long(gateway: Running, key: str) -> None:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert b" 408 " in connection.recv(4096)


def test_a_compressed_body_is_refused(http: httpx.Client) -> None:
    packed = gzip.compress(json.dumps(chat()).encode())
    error_in(http.post(CHAT, content=packed, headers={"content-encoding": "gzip"}), 415)


@pytest.mark.parametrize("path", ["/v1/embedding", "/v1/chat", "/v1", "/v1/chat/completions/x"])
def test_an_unknown_path_is_openais_404(http: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert error_in(http.request(method, path), 404)["code"] == "unknown_url"


def test_outside_of_v1_there_is_nothing(gateway: Running) -> None:
    for path in ("/", "/admin/", "/v1x", "/v2/models"):
        error_in(httpx.get(gateway.url + path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("HEAD", CHAT, "POST"),
        ("PUT", "/v1/completions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/acme/tiny", "GET, HEAD"),
        ("BREW", CHAT, "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(
    http: httpx.Client, method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    if method != "HEAD":
        assert error_in(answer, 405)["code"] == "method_not_allowed"


def test_a_trailing_slash_serves_the_same(http: httpx.Client) -> None:
    assert http.get("/v1/models/").json() == http.get("/v1/models").json()
    assert http.get(f"/v1/models/{MODEL}/").json()["id"] == MODEL
    assert http.post(CHAT + "/", json=chat()).status_code == 200


def test_an_encoded_slash_is_a_slash(http: httpx.Client) -> None:
    assert http.get("/v1/models/acme%2Ftiny").json()["id"] == MODEL


@pytest.mark.parametrize("path", ["%ff", "%00", "..%2f..%2fetc", "x" * 5000, "💥", "a?b=c#d"])
def test_a_strange_id_is_an_unknown_model(http: httpx.Client, path: str) -> None:
    error = error_in(http.get(f"/v1/models/{path}"), 404)
    assert error["code"] == "model_not_found"
    assert len(error["message"]) < 300


def test_head_of_models_is_get_without_a_body(http: httpx.Client) -> None:
    head, get = http.head("/v1/models"), http.get("/v1/models")
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_a_preflight_needs_no_key(gateway: Running) -> None:
    answer = httpx.options(gateway.url + CHAT, headers={"Origin": "https://app.test"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_model_without_a_backend_is_503(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat(model=IDLE))
    assert error_in(answer, 503)["code"] == "no_capacity"
    assert answer.headers["retry-after"]


def test_a_model_of_another_task_is_refused(http: httpx.Client) -> None:
    error = error_in(http.post(CHAT, json=chat(model=COMPLETION_ONLY)), 400)
    assert error["param"] == "model"


def test_a_dead_backend_is_502_and_leaves_no_record(http: httpx.Client) -> None:
    for stream in (False, True):
        answer = http.post(CHAT, json=chat(model=DEAD, stream=stream))
        assert error_in(answer, 502)["code"] == "upstream_error"
    assert records() == []


def test_a_second_backend_takes_over_from_a_dead_one(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=chat(model=HALF_DEAD))
    assert answer.status_code == 200
    assert record_of(answer).backend == "alive"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_a_fault_of_the_engine_is_502_and_its_words_stay_inside(
    http: httpx.Client, status: int
) -> None:
    for stream in (False, True):
        answer = http.post(CHAT, json=chat(f"!status {status}", stream=stream))
        assert "EngineCore" not in error_in(answer, 502)["message"]
    assert records() == []


def test_an_engine_that_is_full_is_503(http: httpx.Client) -> None:
    assert error_in(http.post(CHAT, json=chat("!status 503")), 503)["code"] == "no_capacity"


def test_an_answer_that_is_no_json_is_502(http: httpx.Client) -> None:
    error_in(http.post(CHAT, json=chat("!garbage")), 502)
    assert records() == []
