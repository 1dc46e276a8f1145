"""Calls of the gateway for a person, with a token that lives as long as one call begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import aiohttp
import msgspec
from django.conf import settings
from django.utils.translation import gettext as _
from msgspec import Struct

from tenants.tokens import token_mint

CONNECT_TIMEOUT_S: Final = 5
NEW_KEY_S: Final = 15
"""For so long the gateway may not have heard of a new key."""
_RETRY_S: Final = 0.1
_DATA: Final = b"data: "
_DONE: Final = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Caller:
    """The playground key of a project, and the person who uses it. `key_age_s` when asked."""

    api_key_id: UUID
    user_id: int
    key_age_s: float


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a question."""

    name: str
    data: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked at `path` (under /v1): JSON, or with an upload the fields of a form."""

    path: str
    body: Mapping[str, Any] = field(repr=False)
    upload: Upload | None = None

    def payload(self) -> aiohttp.JsonPayload | aiohttp.FormData:
        if self.upload is None:
            return aiohttp.JsonPayload(self.body, dumps=_dumps)
        form = aiohttp.FormData({name: str(value) for name, value in self.body.items()})
        file = self.upload
        form.add_field("file", file.data, filename=file.name, content_type=file.content_type)
        return form


class Refused(Exception):  # noqa: N818 - told to a person
    """The API's own message. `request_id` is empty when the gateway did not answer."""

    def __init__(self, message: str, request_id: str = "") -> None:
        super().__init__(message)
        self.message, self.request_id = message, request_id


class ApiError(Struct):
    message: str


class _Refusal(Struct):
    error: ApiError


_refusal: Final = msgspec.json.Decoder(_Refusal).decode


@asynccontextmanager
async def reply_to(question: Question, caller: Caller) -> AsyncIterator[aiohttp.ClientResponse]:
    """The 200 of the gateway, not read yet; left early, the gateway stops. Raises Refused."""
    total_s = settings.GATEWAY_TOTAL_TIMEOUT_S + CONNECT_TIMEOUT_S
    timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=CONNECT_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            reply = await _heard(session, question, caller)
            if reply.status != 200:
                raise _refused(reply, await reply.read())
            yield reply
    except (aiohttp.ClientError, TimeoutError):
        raise Refused(_("The gateway does not answer at the moment. Try again.")) from None


async def _heard(
    session: aiohttp.ClientSession, question: Question, caller: Caller
) -> aiohttp.ClientResponse:
    """The answer, as soon as the gateway knows a key that was just made."""
    deadline = time.monotonic() + NEW_KEY_S - caller.key_age_s
    while True:
        token = token_mint(caller.api_key_id, caller.user_id)
        reply = await session.post(
            f"{settings.GATEWAY_URL}/{question.path}",
            data=question.payload(),
            headers={"Authorization": f"Bearer {token}"},
        )
        if reply.status != 401 or time.monotonic() > deadline:
            return reply
        reply.release()
        await asyncio.sleep(_RETRY_S)


async def answer_to(question: Question, caller: Caller) -> tuple[bytes, Mapping[str, str]]:
    """The whole answer and its headers. Raises Refused."""
    async with reply_to(question, caller) as reply:
        return await reply.read(), reply.headers


async def events_of(reply: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """The data of each server-sent event but the last, `[DONE]`."""
    rest = b""
    async for data in reply.content.iter_any():
        *events, rest = (rest + data).split(b"\n\n")
        for event in events:
            if event.startswith(_DATA) and not event.endswith(_DONE):
                yield event.removeprefix(_DATA)


def _refused(reply: aiohttp.ClientResponse, data: bytes) -> Refused:
    try:
        message = _refusal(data).error.message
    except msgspec.MsgspecError:
        message = _("The gateway answered with the status %(status)s.") % {"status": reply.status}
    return Refused(message, reply.headers.get("x-request-id", ""))


def _dumps(body: Any) -> str:
    return msgspec.json.encode(body).decode()
