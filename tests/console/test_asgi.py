"""What reaches Django: bodies that fit into memory."""

from __future__ import annotations

from typing import Any

import pytest

from console import asgi


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 200),
        ([(b"content-length", b"33554432")], 200),
        ([(b"content-length", b"33554433")], 413),
        ([(b"content-length", b"-1")], 413),
        ([(b"transfer-encoding", b"chunked")], 413),
    ],
)
async def test_a_body_that_would_go_to_the_disk_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    async def django(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def unread() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    monkeypatch.setattr(asgi, "_django", django)

    await asgi.application({"type": "http", "headers": headers}, unread, send)  # type: ignore[arg-type]  # what is read of it

    assert sent[0]["status"] == status
