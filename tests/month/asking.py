"""Requests by the real SDKs, each to its own ending, and what the SDK told of its tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import anthropic
import openai

from tests.month.clock import Clock

CHAT_MODEL: Final = "acme/tiny"
READER_MODEL: Final = "acme/reader"
PATIENCE_S: Final = 120.0
_REFUSED: Final = frozenset({402, 429})


class Api(StrEnum):
    CHAT = "chat"
    RESPONSES = "responses"
    MESSAGES = "messages"
    EMBEDDINGS = "embeddings"


class Ending(StrEnum):
    """Cut by the client, broken by the engine within a stream, failed before it told anything."""

    WHOLE = "whole"
    CUT = "cut"
    BROKEN = "broken"
    FAILED = "failed"
    REFUSED = "refused"


class Told(NamedTuple):
    """Tokens; `cached` are of `input`."""

    input: int
    cached: int
    output: int

    @property
    def tokens(self) -> int:
        return self.input + self.output


@dataclass(frozen=True)
class Wish:
    """A request of `words` for `tokens`; one that is cut or breaks has had `gets` of them.

    Once it has had `gets` the clock is set to `moves_to`, if that is told.
    """

    api: Api
    words: int = 40
    tokens: int = 8
    cached: int = 0
    is_streamed: bool = False
    ending: Ending = Ending.WHOLE
    gets: int = 3
    moves_to: datetime | None = None

    @property
    def text(self) -> str:
        """With the commands that the fake engine is given."""
        commands = {
            Ending.CUT: f" !stall {self.gets}",
            Ending.BROKEN: f" !die {self.gets}",
            Ending.FAILED: " !status 500",
        }
        slow = " !delay 30" if self.moves_to and self.ending is Ending.WHOLE else ""
        return "word " * self.words + f"!cached {self.cached}" + commands.get(self.ending, slow)


@dataclass
class Answer:
    """`ending` is how it did end, `told` what the SDK said, `got` the tokens that came one by one.

    `request_id` is empty where no headers came. It lasted from `began` to `ended`.
    """

    id: str
    buyer: str
    wish: Wish
    began: datetime
    ended: datetime | None = None
    ending: Ending | None = None
    request_id: str = ""
    told: Told | None = None
    got: int = 0
    code: str = ""

    @property
    def has_event(self) -> bool:
        return self.ending in {Ending.WHOLE, Ending.CUT, Ending.BROKEN}


class Asker:
    """The SDKs at one gateway; `url` has no /v1."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        self._openai = openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="-", max_retries=0, timeout=PATIENCE_S
        )
        self._anthropic = anthropic.AsyncAnthropic(
            base_url=url, api_key="-", max_retries=0, timeout=PATIENCE_S
        )

    async def close(self) -> None:
        await self._openai.close()
        await self._anthropic.close()

    async def ask(self, answer: Answer, key: str) -> None:
        """Fill in `answer`."""
        call = _STREAMS[answer.wish.api] if answer.wish.is_streamed else _WHOLES[answer.wish.api]
        headers = {"x-client-request-id": answer.id}
        try:
            if answer.wish.api is Api.MESSAGES:
                await call(self._anthropic.with_options(api_key=key), answer, headers, self._at)
            else:
                await call(self._openai.with_options(api_key=key), answer, headers, self._at)
        except (openai.APIError, anthropic.APIError) as error:
            _refused(answer, error)
        answer.ended = self._clock.now

    def _at(self, answer: Answer) -> bool:
        """Count a token; whether the client leaves after it."""
        answer.got += 1
        if answer.got < answer.wish.gets:
            return False
        if answer.wish.moves_to and answer.got == answer.wish.gets:
            self._clock.set(answer.wish.moves_to)
        return answer.wish.ending is Ending.CUT


type Headers = Mapping[str, str]
type OnToken = Callable[[Answer], bool]
type Call = Callable[[Any, Answer, Headers, OnToken], Awaitable[None]]


async def _chat(sdk: openai.AsyncOpenAI, answer: Answer, headers: Headers, _: OnToken) -> None:
    found = await sdk.chat.completions.create(**_chat_of(answer.wish), extra_headers=headers)
    _told(answer, found._request_id, _of_chat(found.usage))


async def _response(sdk: openai.AsyncOpenAI, answer: Answer, headers: Headers, _: OnToken) -> None:
    found = await sdk.responses.create(**_response_of(answer.wish), extra_headers=headers)
    _told(answer, found._request_id, _of_response(found.usage))


async def _message(
    sdk: anthropic.AsyncAnthropic, answer: Answer, headers: Headers, _: OnToken
) -> None:
    found = await sdk.messages.create(**_message_of(answer.wish), extra_headers=headers)
    _told(answer, found._request_id, _of_message(found.usage))


async def _embedding(sdk: openai.AsyncOpenAI, answer: Answer, headers: Headers, _: OnToken) -> None:
    found = await sdk.embeddings.create(
        model=READER_MODEL, input=answer.wish.text, extra_headers=headers
    )
    _told(answer, found._request_id, Told(found.usage.prompt_tokens, 0, 0))


async def _chat_stream(
    sdk: openai.AsyncOpenAI, answer: Answer, headers: Headers, on_token: OnToken
) -> None:
    body = _chat_of(answer.wish) | {"stream": True, "stream_options": {"include_usage": True}}
    stream = await sdk.chat.completions.create(**body, extra_headers=headers)
    answer.request_id = stream.response.headers["x-request-id"]
    async with stream:
        async for chunk in stream:
            is_token = bool(chunk.choices and chunk.choices[0].delta.content)
            if is_token and on_token(answer):
                answer.ending = Ending.CUT
                return
            if chunk.usage:
                _told(answer, answer.request_id, _of_chat(chunk.usage))


async def _response_stream(
    sdk: openai.AsyncOpenAI, answer: Answer, headers: Headers, on_token: OnToken
) -> None:
    body = _response_of(answer.wish) | {"stream": True}
    stream = await sdk.responses.create(**body, extra_headers=headers)
    answer.request_id = stream.response.headers["x-request-id"]
    async with stream:
        async for event in stream:
            if event.type == "response.output_text.delta" and on_token(answer):
                answer.ending = Ending.CUT
                return
            if event.type in {"response.completed", "response.incomplete"}:
                _told(answer, answer.request_id, _of_response(event.response.usage))


async def _message_stream(
    sdk: anthropic.AsyncAnthropic, answer: Answer, headers: Headers, on_token: OnToken
) -> None:
    async with sdk.messages.stream(**_message_of(answer.wish), extra_headers=headers) as stream:
        answer.request_id = stream.response.headers["x-request-id"]
        async for event in stream:
            if event.type == "content_block_delta" and on_token(answer):
                answer.ending = Ending.CUT
                return
        message = await stream.get_final_message()
        _told(answer, answer.request_id, _of_message(message.usage))


_WHOLES: Final[Mapping[Api, Call]] = {
    Api.CHAT: _chat, Api.RESPONSES: _response, Api.MESSAGES: _message, Api.EMBEDDINGS: _embedding,
}  # fmt: skip
_STREAMS: Final[Mapping[Api, Call]] = {
    Api.CHAT: _chat_stream, Api.RESPONSES: _response_stream, Api.MESSAGES: _message_stream,
}  # fmt: skip


def _chat_of(wish: Wish) -> dict[str, Any]:
    message = {"role": "user", "content": wish.text}
    return {"model": CHAT_MODEL, "messages": [message], "max_tokens": wish.tokens}


def _response_of(wish: Wish) -> dict[str, Any]:
    return {
        "model": CHAT_MODEL, "input": wish.text, "max_output_tokens": wish.tokens, "store": False,
    }  # fmt: skip


def _message_of(wish: Wish) -> dict[str, Any]:
    return _chat_of(wish)


def _of_chat(usage: Any) -> Told:
    details = usage.prompt_tokens_details
    return Told(
        usage.prompt_tokens, details.cached_tokens or 0 if details else 0, usage.completion_tokens
    )


def _of_response(usage: Any) -> Told:
    return Told(usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens)


def _of_message(usage: Any) -> Told:
    """Anthropic's input tokens are those that were not cached."""
    cached = usage.cache_read_input_tokens or 0
    return Told(usage.input_tokens + cached, cached, usage.output_tokens)


def _told(answer: Answer, request_id: str | None, told: Told) -> None:
    answer.request_id, answer.told, answer.ending = request_id or "", told, Ending.WHOLE


def _refused(answer: Answer, error: openai.APIError | anthropic.APIError) -> None:
    status = getattr(error, "status_code", None)
    if answer.request_id:
        answer.ending = Ending.BROKEN
    else:
        answer.ending = Ending.REFUSED if status in _REFUSED else Ending.FAILED
    answer.code = _code_of(error)


def _code_of(error: openai.APIError | anthropic.APIError) -> str:
    if isinstance(error, openai.APIError):
        return error.code or str(error)
    body: Any = error.body
    inner = body.get("error", {}) if isinstance(body, dict) else {}
    return str(inner.get("code") or inner.get("type") or error)
