"""Sends a case as bytes, reads what comes back, and says what is wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tests.inference.gateway.hostile.case import KEY_MARK, Case

TIMEOUT_S: Final = 60
AT_ONCE: Final = 24
_ANTHROPIC_TYPES: Final = frozenset({
    "authentication_error", "invalid_request_error", "not_found_error", "request_too_large",
    "timeout_error",
})  # fmt: skip


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Target:
    """A gateway; `secrets` must never be in an answer."""

    host: str
    port: int
    key: str
    secrets: Sequence[bytes]


async def faults(target: Target, cases: Sequence[Case]) -> list[str]:
    """What went wrong with any of `cases`, sent side by side; empty when nothing did."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> list[str]:
        async with gate:
            return [f"{case.name}: {fault}" for fault in await _faults(target, case)]

    found = await asyncio.gather(*map(one, cases))
    return [fault for some in found for fault in some]


async def _faults(target: Target, case: Case) -> list[str]:
    try:
        raw = await exchange(target, case)
    except TimeoutError:
        return [f"still open after {TIMEOUT_S} s"]
    found = list(_wrong(case, raw, target.secrets))
    return found if await _serves(target) else [*found, "no good request is answered after it"]


async def exchange(target: Target, case: Case) -> bytes:
    """All that comes back until the server closes. Raises TimeoutError."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(target.host, target.port)
        sending = asyncio.create_task(_send(writer, case, target.key))
        received = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                received += data
        sending.cancel()
        writer.close()
    return bytes(received)


async def _send(writer: asyncio.StreamWriter, case: Case, key: str) -> None:
    with suppress(ConnectionError):
        for step in case.steps:
            if isinstance(step, bytes):
                writer.write(step.replace(KEY_MARK, key.encode()))
                await writer.drain()
            else:
                await asyncio.sleep(step)
        if case.is_half_closed:
            writer.write_eof()


async def _serves(target: Target) -> bool:
    start = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    good = Case("good", (start + b"Authorization: Bearer " + KEY_MARK + b"\r\n\r\n",))
    with suppress(TimeoutError):
        return (await exchange(target, good)).startswith(b"HTTP/1.1 200 ")
    return False


def _wrong(case: Case, raw: bytes, secrets: Sequence[bytes]) -> Iterator[str]:
    answers = list(answers_read(raw, is_head=case.is_head))
    if len(answers) != case.answers and not (case.is_broken_http and not answers):
        yield f"{len(answers)} answers: {raw[:200]!r}"
    for answer in answers:
        if answer.status not in case.statuses:
            yield f"status {answer.status}: {answer.body[:200]!r}"
        is_bare = not answer.body and (case.is_broken_http or case.is_head)
        if not is_bare and (shape := _shape_wrong(case.path, answer)):
            yield f"{shape}: {answer}"
        if "x-injected" in answer.headers:
            yield "it set a header"
    yield from (f"it tells {secret!r}" for secret in secrets if secret in raw)


def answers_read(raw: bytes, *, is_head: bool) -> Iterator[Answer]:
    """The answers on a connection, but for `100 Continue`."""
    while raw:
        start, _, raw = raw.partition(b"\r\n\r\n")
        line, *lines = start.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (s.partition(": ") for s in lines)}
        if line.startswith("HTTP/1.1 100 "):
            continue
        length = 0 if is_head else int(headers.get("content-length", len(raw)))
        yield Answer(int(line.split()[1]), headers, raw[:length])
        raw = raw[length:]


def _shape_wrong(path: str, answer: Answer) -> str | None:
    """What is wrong with the shape of an error: OpenAI's, below /v1/messages Anthropic's."""
    if answer.headers.get("content-type") != "application/json":
        return "no JSON"
    if not answer.headers.get("x-request-id"):
        return "no request id"
    document = json.loads(answer.body)
    error = document.get("error", {})
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return None if _is_anthropic(document, answer.headers) else "not Anthropic's shape"
    names = {"message", "type", "param", "code"}
    if (
        document.keys() != {"error"}
        or error.keys() != names
        or not isinstance(error["code"], str | None)
    ):
        return "not OpenAI's shape"
    is_told = isinstance(error["message"], str) and 10 < len(error["message"]) < 1000
    return None if is_told else "no good message"


def _is_anthropic(document: dict[str, Any], headers: dict[str, str]) -> bool:
    error = document.get("error", {})
    return (
        document.keys() == {"type", "error", "request_id"}
        and document["type"] == "error"
        and error.keys() == {"type", "message"}
        and error["type"] in _ANTHROPIC_TYPES
        and document["request_id"] == headers["x-request-id"] == headers.get("request-id")
    )
