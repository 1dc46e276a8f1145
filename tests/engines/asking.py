"""The ways to ask with the SDKs, and what of an answer must be the same with and without gateway.

Left out is what may differ: ids, times, the model's name, what a cache held, fields that are null.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import anthropic
import httpx2 as httpx
import openai
from pydantic import BaseModel

from tests.engines import behaviours
from tests.engines.fleet import ANSWER_TIMEOUT_S

type View = Any


@dataclass(frozen=True)
class Side:
    """The SDKs of one server, and what it calls the model."""

    url: str
    key: str
    model: str

    def openai(self, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=key or self.key, max_retries=0,
            timeout=ANSWER_TIMEOUT_S,
        )  # fmt: skip

    def anthropic(self) -> anthropic.Anthropic:
        """By bearer token, since vLLM takes no other."""
        return anthropic.Anthropic(
            base_url=self.url, auth_token=self.key, max_retries=0, timeout=ANSWER_TIMEOUT_S
        )

    def do(self, entry: behaviours.Entry) -> View:
        """Ask, and say what came."""
        way, fields = entry
        return WAYS[way](self, {"model": self.model, **fields})


class Place(BaseModel):
    city: Literal["Luleå", "Kiruna"]


def _calls(message: Any) -> list[tuple[str, str]]:
    return [(c.function.name, c.function.arguments) for c in message.tool_calls or []]


def _chat(answer: Any) -> View:
    return [
        (
            c.index, c.finish_reason, c.message.role, c.message.content or "", _calls(c.message),
            getattr(c.message, "reasoning", None), _likely(c.logprobs),
        )
        for c in answer.choices
    ], _tokens(answer.usage)  # fmt: skip


def _likely(logprobs: Any) -> View:
    tokens = logprobs and logprobs.content
    return tokens and [(t.token, len(t.top_logprobs), round(t.logprob, 1)) for t in tokens]


def _tokens(usage: Any) -> View:
    return usage and (usage.prompt_tokens, usage.completion_tokens)


def chat(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        return _chat(sdk.chat.completions.create(**behaviours.GREEDY | fields))


def chat_stream(side: Side, fields: Any) -> View:
    """What the events add up to, with and without usage."""
    body = behaviours.GREEDY | fields | {"stream": True}
    with side.openai() as sdk:
        plain = list(sdk.chat.completions.create(**body))
        counted = list(sdk.chat.completions.create(**body, stream_options={"include_usage": True}))
    assert not any(chunk.usage for chunk in plain)
    assert counted[-1].choices == []
    first, second = _added(plain), _added(counted)
    assert first == second
    return first, _tokens(counted[-1].usage)


def _added(chunks: Iterable[Any]) -> View:
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            seen = choices.setdefault(choice.index, {"text": "", "reasoning": "", "calls": {}})
            delta = choice.delta
            seen["text"] += delta.content or ""
            seen["reasoning"] += getattr(delta, "reasoning", None) or ""
            seen["finish"] = choice.finish_reason or seen.get("finish")
            seen["role"] = delta.role or seen.get("role")
            seen["likely"] = seen.get("likely", []) + (_likely(choice.logprobs) or [])
            for call in delta.tool_calls or []:
                name, arguments = seen["calls"].get(call.index, ("", ""))
                seen["calls"][call.index] = (
                    name + (call.function.name or ""),
                    arguments + (call.function.arguments or ""),
                )
    return choices


def chat_helper(side: Side, fields: Any) -> View:
    """The kinds of events in their order, each once: a busy vLLM puts tokens together."""
    body = behaviours.GREEDY | fields | {"max_tokens": 100}
    with side.openai() as sdk, sdk.chat.completions.stream(**body) as stream:
        kinds = dict.fromkeys(event.type for event in stream if event.type != "chunk")
        return list(kinds), _chat(stream.get_final_completion())[0]


def chat_parse(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        answer: Any = sdk.chat.completions.parse(
            **behaviours.GREEDY | fields, response_format=Place
        )
    message = answer.choices[0].message
    return type(message.parsed).__name__, message.content, answer.choices[0].finish_reason


def chat_async(side: Side, fields: Any) -> View:
    async def ask() -> View:
        body = behaviours.GREEDY | fields
        async with openai.AsyncOpenAI(
            base_url=f"{side.url}/v1", api_key=side.key, max_retries=0
        ) as sdk:
            many: Any = await asyncio.gather(
                *(sdk.chat.completions.create(**body) for _ in range(4))
            )
            stream: Any = await sdk.chat.completions.create(**body, stream=True)
            return [_chat(one) for one in many], _added([chunk async for chunk in stream])

    return asyncio.run(ask())


def chat_raw(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        raw = sdk.chat.completions.with_raw_response.create(**behaviours.GREEDY | fields)
    media_type = raw.headers["content-type"].partition(";")[0]
    return raw.status_code, media_type, bool(raw.headers["x-request-id"]), _chat(raw.parse())


def chat_lines(side: Side, fields: Any) -> View:
    """The keys of each event, and the last line."""
    create = side.openai().chat.completions.with_streaming_response.create
    with create(**behaviours.GREEDY | fields, stream=True) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    kinds = [sorted(json.loads(line)["choices"][0]["delta"]) for line in lines[:-1]]
    return response.headers["content-type"].partition(";")[0], kinds, lines[-1]


def completion(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        answer = sdk.completions.create(**PROMPT | fields)
    return [
        (c.index, c.finish_reason, c.text, c.logprobs and c.logprobs.tokens)
        for c in answer.choices
    ], _tokens(answer.usage)  # fmt: skip


def completion_stream(side: Side, fields: Any) -> View:
    texts: dict[int, str] = {}
    body = PROMPT | fields | {"stream": True, "stream_options": {"include_usage": True}}
    with side.openai() as sdk:
        chunks: list[Any] = list(sdk.completions.create(**body))
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] = texts.get(choice.index, "") + choice.text
    finish = sorted(c.finish_reason for k in chunks for c in k.choices if c.finish_reason)
    return texts, finish, _tokens(chunks[-1].usage)


def _response(answer: Any) -> View:
    items = [
        (item.type, getattr(item, "name", None), getattr(item, "arguments", None))
        for item in answer.output
    ]  # fmt: skip
    usage = answer.usage
    why = answer.incomplete_details and answer.incomplete_details.reason
    return items, answer.output_text, answer.status, why, (usage.input_tokens, usage.output_tokens)


def response(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        return _response(sdk.responses.create(**INPUT | fields))


def response_stream(side: Side, fields: Any) -> View:
    """The last answer, and before it the kinds of events in their order, each once.

    vLLM says `response.completed` also at the end of an answer that is not complete.
    """
    with side.openai() as sdk:
        events: list[Any] = list(sdk.responses.create(**INPUT | fields, stream=True))
    return _response(events[-1].response), list(dict.fromkeys(event.type for event in events[:-1]))


def _message(answer: Any) -> View:
    blocks = [
        (b.type, getattr(b, "text", None), getattr(b, "name", None), getattr(b, "input", None))
        for b in answer.content
    ]  # fmt: skip
    usage = answer.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    tokens = usage.input_tokens + cached, usage.output_tokens
    return answer.role, blocks, answer.stop_reason, answer.stop_sequence, tokens


def message(side: Side, fields: Any) -> View:
    with side.anthropic() as sdk:
        return _message(sdk.messages.create(**MESSAGE | fields))


def message_stream(side: Side, fields: Any) -> View:
    body = MESSAGE | fields
    with side.anthropic() as sdk, sdk.messages.stream(**body) as stream:
        text = "".join(stream.text_stream)
        return text, _message(stream.get_final_message())


def message_tokens(side: Side, fields: Any) -> View:
    with side.anthropic() as sdk:
        return sdk.messages.count_tokens(**{"messages": behaviours.HELLO} | fields).input_tokens


def models(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        return [(m.object, m.id == side.model) for m in sdk.models.list() if m.id == side.model]


def stranger(side: Side, fields: Any) -> View:
    with side.openai("nobody") as sdk:
        return sdk.chat.completions.create(**behaviours.GREEDY | fields)


def fault(side: Side, fields: Any) -> View:
    """The class of the SDK's error."""
    of = {name: value for name, value in fields.items() if name != "of"}
    try:
        WAYS[fields["of"]](side, of)
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return type(error).__name__
    return "none"


def embedding(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        answer = sdk.embeddings.create(**fields)
    vectors = [(one.index, [round(x, 3) for x in one.embedding]) for one in answer.data]
    return vectors, answer.usage.prompt_tokens


def post(side: Side, fields: Any) -> View:
    body = {name: value for name, value in fields.items() if name != "path"}
    with side.openai() as sdk:
        answer = sdk.post(fields["path"], cast_to=httpx.Response, body=body).json()
    results = answer.get("results") or answer["data"]
    scores = [round(one.get("relevance_score", one.get("score")), 3) for one in results]
    return [one["index"] for one in results], scores, answer["usage"]["prompt_tokens"]


def _heard(answer: Any) -> View:
    parts = [(s.id, s.start, s.end, s.text) for s in getattr(answer, "segments", None) or []]
    seconds = getattr(answer, "duration", None)
    return answer.text, parts, seconds and float(seconds)


def transcription(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        return _heard(sdk.audio.transcriptions.create(**{"file": TONE} | fields))


def translation(side: Side, fields: Any) -> View:
    with side.openai() as sdk:
        return _heard(sdk.audio.translations.create(**{"file": TONE} | fields))


PROMPT: Final = {"prompt": "Once upon", "temperature": 0, "max_tokens": 6}
MESSAGE: Final[dict[str, Any]] = {
    "messages": behaviours.HELLO, "max_tokens": 8, "extra_body": {"temperature": 0},
}  # fmt: skip
INPUT: Final = {"input": "Hello", "temperature": 0, "max_output_tokens": 16}
TONE: Final = behaviours.tone(2)
WAYS: Final[Mapping[str, Callable[[Side, Any], View]]] = {
    "chat": chat,
    "chat stream": chat_stream,
    "chat helper": chat_helper,
    "chat parse": chat_parse,
    "chat async": chat_async,
    "chat raw": chat_raw,
    "chat lines": chat_lines,
    "completion": completion,
    "completion stream": completion_stream,
    "response": response,
    "response stream": response_stream,
    "message": message,
    "message stream": message_stream,
    "message tokens": message_tokens,
    "models": models,
    "stranger": stranger,
    "fault": fault,
    "embedding": embedding,
    "post": post,
    "transcription": transcription,
    "translation": translation,
}
