"""What people do with the SDKs, as data: each entry is done to plain vLLM and to the gateway.

An entry is a way to ask (`tests/engines/asking.py`) and what is asked. Texts are compared, so what
is sampled has a seed.
"""

from __future__ import annotations

import io
import math
import struct
import wave
from collections.abc import Mapping
from typing import Any, Final

type Entry = tuple[str, Mapping[str, Any]]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def tone(seconds: float) -> tuple[str, bytes, str]:
    """A WAV file as the SDK takes it."""
    file, rate = io.BytesIO(), 16_000
    samples = (int(9000 * math.sin(i / 6)) for i in range(int(seconds * rate)))
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return "tone.wav", file.getvalue(), "audio/wav"


HELLO: Final = [user("Hello")]
GREEDY: Final[dict[str, Any]] = {"messages": HELLO, "temperature": 0, "max_tokens": 8}
TOO_LONG: Final = "word " * 3000
PLACE: Final = {
    "type": "object",
    "properties": {"city": {"enum": ["Luleå", "Kiruna"]}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT: Final = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE}}
JSON_TEXT: Final = {"format": {"type": "json_schema", "name": "place", "schema": PLACE}}


def tool(name: str) -> dict[str, Any]:
    function = {"name": name, "parameters": PLACE, "strict": True}
    return {"type": "function", "function": function}


CALL: Final = {
    "role": "assistant",
    "tool_calls": [{
        "id": "call_1", "type": "function",
        "function": {"name": "look", "arguments": '{"city": "Kiruna"}'},
    }],
}  # fmt: skip
RESULT: Final = {"role": "tool", "tool_call_id": "call_1", "content": "-20 °C"}
THINK: Final = {"chat_template_kwargs": {"thinking": True}}

CHATS: Final[dict[str, dict[str, Any]]] = {
    "a question": {},
    "a system prompt": {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]},
    "a developer's prompt": {"messages": [{"role": "developer", "content": "Brief."}, *HELLO]},
    "parts of text": {"messages": [user([{"type": "text", "text": "One"}] * 2)]},
    "turns": {"messages": [*HELLO, {"role": "assistant", "content": "Hi!"}, user("More")]},
    "a name": {"messages": [{**user("Hello"), "name": "karin"}]},
    "letters of all kinds": {"messages": [user("Åäö 漢字 🌍\t\u200b\n\"\\")]},
    "max_completion_tokens": {"max_tokens": None, "max_completion_tokens": 5},
    "choices": {"n": 3, "temperature": 1, "seed": 1},
    "a seed": {"temperature": 1.5, "seed": -3},
    "top_p": {"temperature": 1, "top_p": 0.4, "seed": 5},
    "a stop": {"max_tokens": 60, "stop": "e"},
    "stops": {"max_tokens": 60, "stop": ["a", "in"]},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "a bias": {"logit_bias": {"300": 100}},
    "penalties": {"frequency_penalty": 1.5, "presence_penalty": -0.5, "max_tokens": 30},
    "a JSON schema": {"response_format": FORMAT, "max_tokens": 60},
    "any JSON": {"response_format": {"type": "json_object"}, "max_tokens": 20},
    "more sampling": {"extra_body": {"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.3}},
    "thoughts": {"extra_body": THINK, "max_tokens": 12},
    "fields without effect": {
        "user": "u", "store": False, "metadata": {"a": "b"}, "service_tier": "auto",
        "parallel_tool_calls": True,
    },
    "tools at will": {"tools": [tool("get_weather")], "max_tokens": 100},
    "one tool at a time": {
        "tools": [tool("get_weather")], "max_tokens": 100, "parallel_tool_calls": False,
    },
    "a tool that must be used": {
        "tools": [tool("look")], "tool_choice": "required", "parallel_tool_calls": False,
        "max_tokens": 100,
    },
    "a tool by name": {
        "tools": [tool("look"), tool("see")], "max_tokens": 100,
        "tool_choice": {"type": "function", "function": {"name": "see"}},
    },
    "tools that must not be used": {"tools": [tool("get_weather")], "tool_choice": "none"},
    "a tool's result": {"tools": [tool("look")], "messages": [*HELLO, CALL, RESULT]},
}  # fmt: skip
COMPLETIONS: Final[dict[str, dict[str, Any]]] = {
    "a prompt": {},
    "prompts": {"prompt": ["Once upon a time", "there"]},
    "token ids": {"prompt": [5, 6, 7, 8]},
    "echo and logprobs": {"echo": True, "logprobs": 2},
    "choices": {"n": 2, "temperature": 1, "seed": 7},
    "a stop": {"stop": ["e"], "max_tokens": 60},
}
RESPONSES: Final[dict[str, dict[str, Any]]] = {
    "a text": {},
    "instructions": {"instructions": "Be brief."},
    "items": {"input": [user([{"type": "input_text", "text": "Hello"}])]},
    "turns": {"input": [*HELLO, {"role": "assistant", "content": "Hi!"}, user("More")]},
    "a JSON schema": {"text": JSON_TEXT, "max_output_tokens": 60},
    "a tool": {
        "tools": [{"type": "function", "name": "get_weather", "parameters": PLACE}],
        "max_output_tokens": 100,
    },
}  # fmt: skip
MESSAGES: Final[dict[str, dict[str, Any]]] = {
    "a question": {},
    "a system prompt": {"system": "Be brief."},
    "blocks": {"messages": [user([{"type": "text", "text": "Hello"}])]},
    "turns": {"messages": [*HELLO, {"role": "assistant", "content": "Hi!"}, user("More")]},
    "stops": {"stop_sequences": ["a", "in"], "max_tokens": 60},
    "a tool": {
        "tools": [{"name": "get_weather", "input_schema": PLACE}], "max_tokens": 100,
    },
    "a tool's result": {
        "messages": [
            *HELLO,
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"city": "Kiruna"}},
            ]},
            user([{"type": "tool_result", "tool_use_id": "call_1", "content": "-20 °C"}]),
        ],
        "tools": [{"name": "look", "input_schema": PLACE}],
    },
}  # fmt: skip
FAULTS: Final[dict[str, Entry]] = {
    "a model that is not there": ("chat", {"model": "nope"}),
    "a conversation that does not fit": ("chat", {"messages": [user(TOO_LONG)]}),
    "an answer that does not fit": ("chat", {"max_tokens": 3000}),
    "too hot": ("chat", {"temperature": 3}),
    "no choice": ("chat", {"n": 0}),
    "no token": ("chat", {"max_tokens": -1}),
    "no message": ("chat", {"messages": "Hello"}),
    "an image for a model that reads": ("chat", {"messages": [user([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ])]}),
    "a schema that is none": ("chat", {"response_format": {
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}},
    }}),
    "a tool that is not there": ("chat", {
        "tools": [tool("look")], "tool_choice": {"type": "function", "function": {"name": "x"}},
    }),
    "no prompt": ("completion", {"prompt": []}),
    "a prompt that does not fit": ("completion", {"prompt": TOO_LONG}),
    "an input that does not fit": ("response", {"input": TOO_LONG}),
    "a message that does not fit": ("message", {"messages": [user(TOO_LONG)]}),
    "a message to a model that is not there": ("message", {"model": "nope"}),
}  # fmt: skip

TEXTS: Final[dict[str, Entry]] = {
    **{f"chat: {name}": ("chat", fields) for name, fields in CHATS.items()},
    **{f"streamed chat: {name}": ("chat stream", fields) for name, fields in CHATS.items()},
    "chat: the stream helper": ("chat helper", {"tools": [tool("get_weather")]}),
    "chat: a parsed answer": ("chat parse", {"max_tokens": 60}),
    "chat: with the asynchronous SDK": ("chat async", {}),
    "chat: a raw answer": ("chat raw", {}),
    "streamed chat: the lines themselves": ("chat lines", {}),
    **{f"completion: {name}": ("completion", fields) for name, fields in COMPLETIONS.items()},
    **{
        f"streamed completion: {name}": ("completion stream", fields)
        for name, fields in COMPLETIONS.items()
    },
    **{f"response: {name}": ("response", fields) for name, fields in RESPONSES.items()},
    **{
        f"streamed response: {name}": ("response stream", fields)
        for name, fields in RESPONSES.items()
    },
    **{f"message: {name}": ("message", fields) for name, fields in MESSAGES.items()},
    **{
        f"streamed message: {name}": ("message stream", fields) for name, fields in MESSAGES.items()
    },
    "message: tokens counted": ("message tokens", {}),
    "models: the list": ("models", {}),
    "a key that is none": ("fault", {"of": "stranger"}),
    **{
        f"fault: {name}": ("fault", {"of": kind, **fields})
        for name, (kind, fields) in FAULTS.items()
    },
}
READING: Final[dict[str, Entry]] = {
    "embedding: a text": ("embedding", {"input": "Hello there"}),
    "embedding: texts": ("embedding", {"input": ["Hello", "there", "you"]}),
    "embedding: token ids": ("embedding", {"input": [[1996, 4248], [2829]]}),
    "embedding: as numbers": ("embedding", {"input": "Hello", "encoding_format": "float"}),
    "embedding: too long": ("fault", {"of": "embedding", "input": TOO_LONG}),
    "embedding: fewer dimensions": ("fault", {"of": "embedding", "input": "a", "dimensions": 8}),
    "rerank": ("post", {"path": "/rerank", "query": "Paris", "documents": ["Paris", "butter"]}),
    "score: a pair": ("post", {"path": "/score", "text_1": "Paris", "text_2": "butter"}),
    "score: pairs": ("post", {"path": "/score", "text_1": "Paris", "text_2": ["Rome", "egg"]}),
}
LISTENING: Final[dict[str, Entry]] = {
    "transcription": ("transcription", {}),
    "transcription: a language": ("transcription", {"language": "sv"}),
    "transcription: a prompt": ("transcription", {"prompt": "Noise", "temperature": 0.5}),
    "transcription: long": ("transcription", {"file": tone(40)}),
    "transcription: with times": ("transcription", {
        "response_format": "verbose_json", "timestamp_granularities": ["segment"],
    }),
    "transcription: a language that is none": ("fault", {"of": "transcription", "language": "xx"}),
    "transcription: no sound": ("fault", {
        "of": "transcription", "file": ("a.wav", b"not a sound", "audio/wav"),
    }),
    "translation": ("translation", {}),
    "translation: with times": ("translation", {"response_format": "verbose_json"}),
}  # fmt: skip
