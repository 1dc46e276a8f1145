"""The fake engine as an ASGI app."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tests.fake_vllm import answers, audio, refusals
from tests.fake_vllm.answers import dump
from tests.fake_vllm.ask import Ask, Json, ask_read, commands_in
from tests.fake_vllm.audio import AUDIO, Sound, form_of, sound_read
from tests.fake_vllm.capacity import SLOTS, Slots
from tests.fake_vllm.counting import count
from tests.fake_vllm.pooling import POOLING, text_of
from tests.fake_vllm.refusals import Refused, refused

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]

API_KEYS: Final = os.environ.get("FAKE_VLLM_API_KEYS", "").split()
GENERATIONS: Final = {"/v1/chat/completions": "messages", "/v1/completions": "prompt"}


class ClientLeft(Exception):  # noqa: N818
    """Nobody reads any more."""


class Died(Exception):  # noqa: N818
    """Leaves the app in the middle of an answer, which makes the server cut the connection."""


@dataclass
class State:
    """What happened since the start or the last reset; `requests` counts generations asked for.

    `most_waiting` is how many waited for a slot at the worst moment.
    """

    running: int = 0
    most_waiting: int = 0
    requests: int = 0
    aborted: int = 0
    finished: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    last_request_headers: dict[str, str] = field(default_factory=dict)
    last_request_body: Any = None


state = State()
given: Final = defaultdict[str, list[int]](lambda: [0, 0])
"""By the id of an answer the tokens of its prompt and those made for it, more with each try."""
slots: Final = Slots(SLOTS)


class Client:
    """Whoever reads an answer; it may leave."""

    def __init__(self, receive: Receive) -> None:
        self._gone = asyncio.ensure_future(self._watch(receive))

    @staticmethod
    async def _watch(receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def wait_for(self, place: asyncio.Future[None]) -> None:
        """Wait until it is done. Raises ClientLeft, and then leaves the line."""
        await asyncio.wait([self._gone, place], return_when=asyncio.FIRST_COMPLETED)
        if not place.done():
            place.cancel()
            raise ClientLeft

    async def wait(self, time_ms: float | None) -> None:
        """Wait, for ever with None; ClientLeft as soon as nobody reads any more."""
        timeout_s = None if time_ms is None else time_ms / 1000
        await asyncio.wait([self._gone], timeout=timeout_s)
        if self._gone.done():
            raise ClientLeft

    def forget(self) -> None:
        self._gone.cancel()


async def generate(ask: Ask, client: Client) -> AsyncIterator[int]:
    """Yield the position of each token as it comes; one step makes a token of every choice."""
    await client.wait(ask.slow_first_ms)
    for position in range(ask.output_tokens):
        if position == ask.stall_after:
            await client.wait(None)
        if position == ask.die_after:
            raise Died
        await client.wait(ask.delay_ms)
        state.generated_tokens += ask.choices
        given[ask.id][1] += ask.choices
        yield position


async def events(ask: Ask, client: Client) -> AsyncIterator[str]:
    """The `data:` of each server-sent event."""
    if ask.has_late_fault:
        yield json.dumps(refused(400, refusals.LATE_FAULT).body)  # with blanks, as vLLM writes it
        yield "[DONE]"
        return
    first = [dump(answers.first_chunk(ask, n)) for n in range(ask.choices)] if ask.is_chat else []
    async for position in generate(ask, client):
        while first:  # it comes with the first token, and no sooner
            yield first.pop(0)
        for index in range(ask.choices):
            chunk = dump(_shapes(ask).token_chunk(ask, index, position))
            yield '{"id": not json' if ask.is_garbage and position == 0 else chunk
    for chunk in first:
        yield chunk
    if ask.include_usage:
        yield dump(_shapes(ask).usage_chunk(ask))
    yield "[DONE]"


def _shapes(ask: Ask) -> Any:
    """The module that writes what answers it."""
    return audio if isinstance(ask, Sound) else answers


# --- HTTP ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One HTTP request and the way to answer it."""

    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    request_id: str

    async def start(self, status: int, content_type: str, length: int | None = None) -> None:
        headers = [("server", "uvicorn"), ("content-type", content_type)]
        headers += [("vary", "Origin"), ("x-request-id", self.request_id)]
        if length is not None:
            headers.append(("content-length", str(length)))
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, more: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, text: str, content_type: str = "application/json") -> None:
        data = text.encode()
        await self.start(status, content_type, len(data))
        await self.write(data)

    async def body(self) -> bytes:
        data, more = b"", True
        while more:
            message = await self.receive()
            data, more = data + message.get("body", b""), message.get("more_body", False)
        return data


async def app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    headers = _headers(scope)
    request_id = headers.get("x-request-id") or uuid.uuid4().hex[:16]
    call = Call(scope, receive, send, headers, request_id)
    try:
        await _route(call)
    except Refused as error:
        await call.answer(error.status, dump(error.body))


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers by lower-case name; what came twice is joined by a comma."""
    headers = dict[str, str]()
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _route(call: Call) -> None:
    method, path = call.scope["method"], call.scope["path"]
    _authorize(call, path)
    if path in GENERATIONS:
        _allow(method, "POST")
        await _generation(call, GENERATIONS[path])
    elif path in POOLING:
        _allow(method, "POST")
        await _pool(call, *POOLING[path])
    elif path in AUDIO:
        _allow(method, "POST")
        await _hear(call, AUDIO[path])
    elif path == "/v1/messages/count_tokens":
        _allow(method, "POST")
        await _count(call)
    elif path == "/tokenize":
        _allow(method, "POST")
        await _tokenize(call)
    elif path in PAGES:
        _allow(method, "GET")
        text, content_type = PAGES[path]()
        await call.answer(200, text, content_type)
    elif path == "/_fake/reset":
        vars(state).update(vars(State(running=state.running)))
        given.clear()
        await call.answer(200, "{}")
    else:
        raise Refused(404, {"detail": "Not Found"})


def _authorize(call: Call, path: str) -> None:
    """vLLM guards what is under /v1 alone."""
    given = call.headers.get("authorization", "").removeprefix("Bearer ")
    if API_KEYS and path.startswith("/v1") and given not in API_KEYS:
        raise Refused(401, {"error": "Unauthorized"})


def _allow(method: str, allowed: str) -> None:
    if method != allowed:
        raise Refused(405, {"detail": "Method Not Allowed"})


def _metrics() -> tuple[str, str]:
    counts = {
        "vllm:num_requests_running": state.running,
        "vllm:num_requests_waiting": slots.waiting,
        "vllm:kv_cache_usage_perc": slots.kv_use,
        "vllm:prompt_tokens_total": state.prompt_tokens,
        "vllm:generation_tokens_total": state.generated_tokens,
    }
    return answers.metrics(counts), "text/plain; version=0.0.4; charset=utf-8"


JSON: Final = "application/json"
PAGES: Final[Mapping[str, Callable[[], tuple[str, str]]]] = {
    "/health": lambda: ("", JSON),
    "/ping": lambda: ("", JSON),
    "/version": lambda: ('{"version":"0.32.0"}', JSON),
    "/load": lambda: (dump({"server_load": state.running}), JSON),
    "/metrics": _metrics,
    "/v1/models": lambda: (dump(answers.models()), JSON),
    "/_fake/state": lambda: (dump(asdict(state)), JSON),
    "/_fake/given": lambda: (dump(given), JSON),
}


async def _body(call: Call, needed: str) -> Json:
    """The body of a request, remembered. Raises Refused."""
    raw = await call.body()
    state.requests += 1
    state.last_request_headers = dict(call.headers)
    state.last_request_body = raw.decode(errors="replace")
    body = refusals.parse(call.headers, raw)
    state.last_request_body = body
    refusals.validate(body, needed)
    refusals.check_model(body)
    return body


async def _generation(call: Call, needed: str) -> None:
    body = await _body(call, needed)
    ask = ask_read(body, is_chat=needed == "messages", request_id=call.request_id)
    refusals.check_length(ask)
    priority = body.get("priority") or 0
    await _run(call, ask, streamed=bool(body.get("stream")), priority=priority)


async def _tokenize(call: Call) -> None:
    """Of a chat or a text, as many tokens as its prompt would have."""
    body = refusals.parse(call.headers, await call.body())
    is_chat = "messages" in body
    tokens = ask_read(body, is_chat=is_chat, request_id="").prompt_tokens
    document = {"count": tokens, "max_model_len": refusals.MAX_MODEL_LEN, "tokens": [7] * tokens}
    await call.answer(200, dump(document))


async def _pool(call: Call, needed: str, answer: Callable[[Json, str], Json]) -> None:
    body = await _body(call, needed)
    commands = commands_in(text_of(body, needed))
    if status := commands.get("status"):
        raise refused(status, refusals.ENGINE_DEAD)
    document = answer(body, call.request_id)
    state.prompt_tokens += document["usage"]["prompt_tokens"]
    state.finished += 1
    await call.answer(200, "{not json" if "garbage" in commands else dump(document))


async def _hear(call: Call, task: str) -> None:
    raw = await call.body()
    state.requests += 1
    state.last_request_headers = dict(call.headers)
    form = form_of(call.headers, raw)
    state.last_request_body = {name: part.decode("latin-1") for name, part in form.items()}
    sound = sound_read(form, task, call.request_id)
    await _run(call, sound, streamed=sound.streamed)


async def _count(call: Call) -> None:
    """Anthropic's shape, errors included."""
    try:
        await call.answer(200, dump(count(await _body(call, "messages"))))
    except Refused as error:
        about = error.body["error"]
        inner = {"type": about["type"], "message": about["message"]}
        raise Refused(error.status, {"type": "error", "error": inner}) from None


async def _run(call: Call, ask: Ask, *, streamed: bool, priority: int = 0) -> None:
    if ask.status is not None:
        raise refused(ask.status, refusals.ENGINE_DEAD)
    if ask.has_late_fault and not streamed:
        raise refused(400, refusals.LATE_FAULT)
    client = Client(call.receive)
    try:
        await _wait_for_slot(priority, client)
        await _run_in_slot(call, ask, client, streamed=streamed)
        state.finished += 1
    except ClientLeft:
        state.aborted += 1
    finally:
        client.forget()


async def _wait_for_slot(priority: int, client: Client) -> None:
    place = slots.ask(priority)
    state.most_waiting = max(state.most_waiting, slots.waiting)
    await client.wait_for(place)


async def _run_in_slot(call: Call, ask: Ask, client: Client, *, streamed: bool) -> None:
    state.running += 1
    state.prompt_tokens += ask.prompt_tokens
    given[ask.id][0] += ask.prompt_tokens
    try:
        await (_stream if streamed else _whole)(call, ask, client)
    finally:
        state.running -= 1
        slots.give_back()


async def _stream(call: Call, ask: Ask, client: Client) -> None:
    await call.start(200, "text/event-stream; charset=utf-8")
    async for event in events(ask, client):
        await call.write(f"data: {event}\n\n".encode(), more=True)
    await call.write(b"")


async def _whole(call: Call, ask: Ask, client: Client) -> None:
    text = "{not json" if ask.is_garbage else dump(_shapes(ask).answer(ask))
    try:
        async for _position in generate(ask, client):
            pass
    except Died:
        await call.start(200, JSON, len(text.encode()))
        await call.write(text.encode()[: len(text) // 2], more=True)
        raise
    await call.answer(200, text)
