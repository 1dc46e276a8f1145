"""A fake engine that costs next to nothing: the same vLLM-shaped bytes for everyone.

One process on uvloop, an `asyncio.Protocol`, no HTTP library. A POST is answered

* whole: one chat completion;
* streamed (``"stream":true``): a role chunk, 100 chunks of one token, a usage chunk and ``[DONE]``,
  each written in a turn of the event loop of its own;
* streamed with `PACED` in the prompt: a chunk of one token every 25 ms (40 tokens/s), for 20 to
  60 s by turns. One timer serves all streams at once, as an engine's step does.

``GET /state`` counts the requests so far; any other GET is answered like that of the models,
which the gateway asks for to know that an engine is well.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, cast, override

import uvloop

MODEL: Final = "bench"
TOKENS: Final = 100
EVENTS: Final = TOKENS + 3
PACED: Final = "!paced"
STREAM_WANTED: Final = re.compile(rb'"stream": ?true')
STEP_S: Final = 1 / 40
PACED_S: Final = range(20, 61)
PROMPT_TOKENS: Final = 12
MODELS: Final = b'{"data":[{"id":"bench"}]}'
FINGERPRINT: Final = "vllm-0.32.0-376dadb1"


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _usage(tokens: int) -> dict[str, int]:
    total = PROMPT_TOKENS + tokens
    return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": total, "completion_tokens": tokens}


def _event(text: str) -> bytes:
    """One server-sent event as one chunk of HTTP/1.1."""
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(tokens: int, **rest: object) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1795233110}
    usage = {**_usage(tokens), "completion_tokens_details": None}
    return _event(_dump({**head, "model": MODEL, "usage": usage} | rest))


def _token(tokens: int, last: int) -> bytes:
    finish = "length" if tokens == last else None
    choice = {"index": 0, "delta": {"content": " found"}, "logprobs": None, "finish_reason": finish}
    return _chunk(tokens, choices=[{**choice, "token_ids": None}])


def _stream(tokens: int) -> list[bytes]:
    return [_role(), *(_token(number, tokens) for number in range(1, tokens)), *_ending(tokens)]


def _role() -> bytes:
    delta = {"role": "assistant", "content": ""}
    role = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return _chunk(0, choices=[role], prompt_token_ids=None, prompt_text=None)


def _ending(tokens: int) -> list[bytes]:
    details = {"cached_tokens": 0, "created_cache_tokens": 0}
    usage = {**_usage(tokens), "prompt_tokens_details": details}
    return [
        _token(tokens, tokens),
        _chunk(tokens, choices=[], usage=usage, system_fingerprint=FINGERPRINT),
        _event("[DONE]") + b"0\r\n\r\n",
    ]


def _whole() -> bytes:
    nulls = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    message = {"role": "assistant", "content": "index found but compile" * 4, **nulls}
    ending = dict.fromkeys(("logprobs", "stop_reason", "token_ids", "routed_experts"))
    details = {"cached_tokens": 0, "created_cache_tokens": 0, "multimodal_tokens": None}
    usage = {**_usage(16), "prompt_tokens_details": details, "completion_tokens_details": None}
    head = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1795233110}
    choice = {"index": 0, "message": message, "finish_reason": "length", **ending}
    rest = {"system_fingerprint": FINGERPRINT, "usage": usage}
    return _answer(_dump({**head, "model": MODEL, "choices": [choice], **rest}).encode())


def _answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
WHOLE: Final = _whole()
CHUNKS: Final = _stream(TOKENS)
PACED_CHUNKS: Final = _stream(round(PACED_S[-1] / STEP_S))


def paced(seconds: int) -> Iterator[bytes]:
    """The chunks of a stream that ends after `seconds`."""
    tokens = round(seconds / STEP_S)
    return chain(islice(PACED_CHUNKS, tokens), _ending(tokens))


class Engine:
    """What the connections share: the loop, the count, the streams that wait for the next step."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.requests = 0
        self.paced = dict[Connection, Iterator[bytes]]()
        self.next_step = loop.time()

    def step(self) -> None:
        """One token for every paced stream. A step that is late is not made up for."""
        for connection, chunks in list(self.paced.items()):
            if chunk := next(chunks, b""):
                connection.write(chunk)
            else:
                del self.paced[connection]
        self.next_step = max(self.next_step + STEP_S, self.loop.time())
        self.loop.call_at(self.next_step, self.step)


class Connection(asyncio.Protocol):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._received = b""
        self._position = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._engine.paced.pop(self, None)

    @override
    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head, end, body = received.partition(b"\r\n\r\n")
        if not end or len(body) < _content_length(head):
            self._received = received
            return
        self._received = b""
        self._respond(head, body)

    def _respond(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            count = _dump({"requests": self._engine.requests}).encode()
            self.write(_answer(count if b" /state " in head else MODELS))
            return
        self._engine.requests += 1
        if not STREAM_WANTED.search(body):
            self.write(WHOLE)
        elif PACED.encode() in body:
            self.write(STREAM_HEAD)
            seconds = PACED_S[self._engine.requests % len(PACED_S)]
            self._engine.paced[self] = paced(seconds)
        else:
            self.write(STREAM_HEAD)
            self._position = 0
            self._next_chunk()

    def _next_chunk(self) -> None:
        if self._transport.is_closing():
            return
        self.write(CHUNKS[self._position])
        self._position += 1
        if self._position < len(CHUNKS):
            self._engine.loop.call_soon(self._next_chunk)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    engine = Engine(loop)
    engine.step()
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
