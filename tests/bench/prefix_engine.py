"""Fake engines that remember prompts as vLLM does: blocks, by what is before them, per salt.

One process serves an engine on each port that it is given. A chat takes its turn to be read, at
READ_PER_S tokens for what is not in the cache, and is then streamed, a token every STEP_S.

``GET /state`` says what was read so far, ``POST /forget`` empties cache and counts; any other GET
is answered like that of the models.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import uvloop

BYTES_PER_TOKEN: Final = 4
BLOCK_TOKENS: Final = 16
CACHE_TOKENS: Final = 80_000
READ_PER_S: Final = 10_000
BASE_S: Final = 0.02
STEP_S: Final = 0.01
ANSWER_TOKENS: Final = 20
WORD: Final = " sluice"
MODEL: Final = "prefix"
MODELS: Final = {"data": [{"id": MODEL}]}

_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class PrefixCache:
    """The last `most` blocks that were used. A block counts only behind all those before it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks = OrderedDict[int, None]()

    def cached_tokens(self, salt: str, prompt: bytes) -> int:
        """How many of the tokens that `prompt` begins with are here."""
        count = 0
        for block in _blocks(salt, prompt):
            if block not in self._blocks:
                break
            count += BLOCK_TOKENS
        return count

    def keep(self, salt: str, prompt: bytes) -> None:
        for block in _blocks(salt, prompt):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)


def _blocks(salt: str, prompt: bytes) -> Iterator[int]:
    """Names of the whole blocks of `prompt`, each made of its own tokens and all before them."""
    size = BLOCK_TOKENS * BYTES_PER_TOKEN
    name = hash(salt)
    for at in range(0, len(prompt) - size + 1, size):
        name = hash((name, prompt[at : at + size]))
        yield name


@dataclass
class Seen:
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


class Engine:
    def __init__(self) -> None:
        self.forget()
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        self.seen, self.cache = Seen(), PrefixCache(CACHE_TOKENS // BLOCK_TOKENS)

    async def chat(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        salt, prompt = body.get("cache_salt", ""), _prompt(body["messages"])
        cached = await self._read(salt, prompt)
        tokens = len(prompt) // BYTES_PER_TOKEN
        writer.write(_STREAM_HEAD)
        for number in range(1, ANSWER_TOKENS + 1):
            await asyncio.sleep(STEP_S if number > 1 else 0)
            writer.write(_event(_delta(number, tokens)))
        self.cache.keep(salt, prompt + (WORD * ANSWER_TOKENS).encode())
        writer.write(_event(_usage(tokens, cached)))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    async def _read(self, salt: str, prompt: bytes) -> int:
        """One prompt at a time; how many of its tokens were there already."""
        async with self._reading:
            cached = self.cache.cached_tokens(salt, prompt)
            tokens = len(prompt) // BYTES_PER_TOKEN
            await asyncio.sleep(BASE_S + (tokens - cached) / READ_PER_S)
            self.cache.keep(salt, prompt)
        self.seen.requests += 1
        self.seen.prompt_tokens += tokens
        self.seen.cached_tokens += cached
        return cached

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._answer(head, await reader.readexactly(_length(head)), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/chat/completions" in head.partition(b"\r\n")[0]:
            await self.chat(json.loads(body), writer)
            return
        if head.startswith(b"POST /forget "):
            self.forget()
        text = _dump(asdict(self.seen) if b" /state " in head else MODELS)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))


def _prompt(messages: list[dict[str, str]]) -> bytes:
    return "".join(f"\n{m['role']}:{m['content']}" for m in messages).encode()


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0]) if found else 0


def _chunk(prompt_tokens: int, output_tokens: int, **rest: Any) -> dict[str, Any]:
    total = prompt_tokens + output_tokens
    usage = {
        "prompt_tokens": prompt_tokens, "completion_tokens": output_tokens, "total_tokens": total,
    }  # fmt: skip
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return {**head, "usage": usage, **rest}


def _delta(number: int, prompt_tokens: int) -> dict[str, Any]:
    finish = "length" if number == ANSWER_TOKENS else None
    choice = {"index": 0, "delta": {"content": WORD}, "finish_reason": finish}
    return _chunk(prompt_tokens, number, choices=[choice])


def _usage(prompt_tokens: int, cached: int) -> dict[str, Any]:
    chunk = _chunk(prompt_tokens, ANSWER_TOKENS, choices=[])
    chunk["usage"]["prompt_tokens_details"] = {"cached_tokens": cached}
    return chunk


def _event(document: Any) -> bytes:
    data = b"data: %s\n\n" % _dump(document)
    return b"%x\r\n%s\r\n" % (len(data), data)


def _dump(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


async def serve(ports: list[int]) -> None:
    for port in ports:
        await asyncio.start_server(Engine().serve, "127.0.0.1", port, limit=2**20)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))
