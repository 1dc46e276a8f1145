from __future__ import annotations

import pytest

from inference.gateway.endpoint import Question
from inference.gateway.upstream.target import Target, head_of, target_of
from tests.inference.gateway.upstream.engines import route_to


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("http://vllm", Target("vllm", 80, False, "vllm", "")),
        ("https://vllm", Target("vllm", 443, True, "vllm", "")),
        ("http://vllm:8000", Target("vllm", 8000, False, "vllm:8000", "")),
        ("http://VLLM:8000/", Target("vllm", 8000, False, "vllm:8000", "")),
        ("http://[::1]:8000", Target("::1", 8000, False, "[::1]:8000", "")),
        ("https://[fd00::2]", Target("fd00::2", 443, True, "[fd00::2]", "")),
        ("https://gpu.example/a/b", Target("gpu.example", 443, True, "gpu.example", "/a/b")),
        ("http://gpu/å b", Target("gpu", 80, False, "gpu", "/%C3%A5%20b")),
        ("http://bücher.eu", Target("xn--bcher-kva.eu", 80, False, "xn--bcher-kva.eu", "")),
    ],
)  # fmt: skip
def test_a_base_url_names_a_server(base_url: str, target: Target) -> None:
    assert target_of(base_url) == target


@pytest.mark.parametrize("base_url", ["vllm:8000", "ftp://vllm", "http://", "http://vllm:port"])
def test_what_names_no_server_is_an_error(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"server|[Pp]ort"):
        target_of(base_url)


def test_the_lines_of_a_call() -> None:
    question = Question("/v1/chat/completions", b'{"a": 1}')
    assert head_of(route_to("http://vllm:8000/x", key="secret"), question, "request-1") == (
        b"POST /x/v1/chat/completions HTTP/1.1\r\n"
        b"Host: vllm:8000\r\n"
        b"Authorization: Bearer secret\r\n"
        b"Content-Type: application/json\r\n"
        b"X-Request-Id: request-1\r\n"
        b"Content-Length: 8\r\n\r\n"
    )


def test_without_a_key_there_are_no_credentials() -> None:
    head = head_of(route_to("http://vllm"), Question("/v1/models", b""), "id")
    assert b"authorization" not in head.lower()
    assert b"Content-Length: 0\r\n" in head


@pytest.mark.parametrize("broken", ["\r\nX: y", "\n", "\0", "é"])
@pytest.mark.parametrize("place", ["path", "content_type", "key", "request_id"])
def test_nothing_breaks_out_of_its_line(place: str, broken: str) -> None:
    given = {"path": "/v1", "content_type": "a/b", "key": "k", "request_id": "id"}
    given[place] += broken
    question = Question(given["path"], b"{}", given["content_type"])
    with pytest.raises(ValueError, match=r"character|codec"):
        head_of(route_to("http://vllm", given["key"]), question, given["request_id"])
