"""Images come within the request, in four kinds, and not too large."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import httpx2 as httpx
import pytest

from tests.fake_vllm import FakeVllm
from tests.inference.gateway.conftest import MODEL

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"


def png(width: int, height: int) -> bytes:
    """One that says it has this size; it need not hold as many pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk


def url_of(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def ask(*urls: str) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content = [{"type": "text", "text": "What is this?"}, *images]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 2}


def test_images_in_a_response_are_looked_at_too(http: httpx.Client) -> None:
    image = {"type": "input_image", "image_url": url_of(png(60_000, 60_000))}
    body = {"model": MODEL, "input": [{"role": "user", "content": [image]}]}
    response = http.post("/v1/responses", json=body)
    assert "pixels" in response.json()["error"]["message"]


def test_an_image_reaches_the_engine_as_it_came(http: httpx.Client, engine: FakeVllm) -> None:
    body = ask(url_of(png(640, 480)), url_of(b"GIF89a" + struct.pack("<HH", 4, 4) + bytes(8)))
    assert http.post(CHAT, json=body).status_code == 200
    assert engine.state()["last_request_body"]["messages"] == body["messages"]


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        ([url_of(png(60_000, 60_000))], "more than 36,000,000 pixels"),
        (
            [url_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")],
            "JPEG, WebP, GIF",
        ),
        ([url_of(png(1, 1) + png(60_000, 60_000)[8:])], "cannot be read"),
        ([url_of(b"GIF89a" + bytes(7) + b"," + bytes(4) + b"\xff" * 4)], "65535 × 65535"),
        ([url_of(b"MZ not an image")], "cannot be read"),
        ([url_of(png(0, 10))], "cannot be read"),
        ([url_of(png(1, 1)[:14])], "cannot be read"),
        (["data:image/png;base64,@@@"], "not valid base64"),
        (["data:text/plain,hello"], "Send the image itself"),
        (["https://example.com/cat.png"], "Send the image itself"),
        (["file:///etc/passwd"], "Send the image itself"),
        ([url_of(png(1, 1))] * 21, "more than 20 images"),
    ],
)
def test_what_is_no_image_or_too_much_is_refused(
    http: httpx.Client, engine: FakeVllm, urls: list[str], words: str
) -> None:
    before = engine.state()["requests"]
    response = http.post(CHAT, json=ask(*urls))
    assert response.status_code == 400
    error = response.json()["error"]
    assert words in error["message"]
    assert error["param"].startswith("messages")
    assert engine.state()["requests"] == before
