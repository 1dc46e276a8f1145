"""The double as an ASGI app: the API, the hosted pages, and the webhooks that it sends.

Set by the environment: `FAKESTRIPE_URL` (where browsers find it), `FAKESTRIPE_API_KEY`,
`FAKESTRIPE_WEBHOOK_SECRET`, `FAKESTRIPE_WEBHOOK_URL` (none are sent without) and
`FAKESTRIPE_JOURNAL` (the file that keeps its state).
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import aiohttp

from console.fakestripe import webhooks
from console.fakestripe.account import API_KEY, WEBHOOK_SECRET
from console.fakestripe.fake import HOSTED, FakeStripe
from console.fakestripe.hosted import hosted
from console.fakestripe.http import ConnectionLost, Request, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

EACH_S: Final = 0.2
"""So often webhooks are sent, and things done that are due."""
WEBHOOK_TIMEOUT_S: Final = 20


class App:
    """Answers for `fake`, and while it is served sends its webhooks to `webhook_url`."""

    def __init__(self, fake: FakeStripe, webhook_url: str = "") -> None:
        self.fake, self.webhook_url = fake, webhook_url
        self._work: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._work = asyncio.create_task(self._send_webhooks())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._work.cancel()
        with suppress(asyncio.CancelledError):
            await self._work
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await _request(scope, receive)
        if request is None:
            return
        try:
            response = self._response(request)
        except ConnectionLost:
            await _disconnected(receive)
            return
        headers = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _response(self, request: Request) -> Response:
        if request.path == "/health":
            return Response(200, b"ok", {"content-type": "text/plain"})
        if request.path.startswith("/v1/"):
            return self.fake.answer(request)
        fields = dict(parse_qsl(request.body, keep_blank_values=True))
        page = hosted(self.fake, request.method, request.path, fields)
        return page or Response(404, b"There is no such page.", {"content-type": "text/plain"})

    async def _send_webhooks(self) -> None:
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                self.fake.tick()
                if self.webhook_url:
                    await self._send_due(session)
                await asyncio.sleep(EACH_S)

    async def _send_due(self, session: aiohttp.ClientSession) -> None:
        fake = self.fake
        for delivery in webhooks.due(fake.account):
            if message := webhooks.message(fake.account, delivery, fake.webhook_secret):
                fake.delivered(delivery, await self._post(session, *message))

    async def _post(
        self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]
    ) -> int:
        """The receiver's status; 0 when it does not answer."""
        try:
            async with session.post(self.webhook_url, data=body, headers=headers) as reply:
                return reply.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


async def _request(scope: Scope, receive: Receive) -> Request | None:
    """None of half a request: whoever was killed while sending it asked nothing."""
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    if len(body) < int(headers.get("content-length", 0)):
        return None
    query = scope["query_string"].decode()
    return Request(scope["method"], scope["path"], query, body.decode(), headers)


async def _disconnected(receive: Receive) -> None:
    """Give no answer, until the client has enough of it."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _from_environment() -> App:
    journal = os.environ.get("FAKESTRIPE_JOURNAL")
    fake = FakeStripe(
        seed=secrets.randbits(64),
        api_key=os.environ.get("FAKESTRIPE_API_KEY", API_KEY),
        webhook_secret=os.environ.get("FAKESTRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET),
        url=os.environ.get("FAKESTRIPE_URL", HOSTED),
        journal=Path(journal) if journal else None,
    )
    return App(fake, os.environ.get("FAKESTRIPE_WEBHOOK_URL", ""))


app: Final = _from_environment()
