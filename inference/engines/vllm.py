"""vLLM: counts in each event (`continuous_usage_stats`), one salt per tenant for its cache.

A count in an event with a choice is of that choice and its prompt alone; the last event adds up.
Of cached tokens only the last event tells, so a stream that is cut has none.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from inference.engines.base import (
    AUDIO_TOO_LONG,
    BAD_FORMAT,
    GREEDY_CHOICES,
    INVALID_AUDIO,
    MAX_TOKENS_TOO_LARGE,
    NO_TIMES,
    NO_TOOLS,
    ONE_SIZE,
    PROMPT_TOO_LONG,
    TEXT_ONLY,
    UNKNOWN_LANGUAGE,
    Count,
    Engine,
    EngineError,
    Fault,
    Hearing,
    OpenAIUsage,
    Usage,
    cutter,
)
from inference.engines.load import LoadMetrics

_STREAM: Final = b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}'


def _bad(field: str) -> Fault:
    return Fault(f"This model does not take that value of `{field}`.", field, None)


_FIELDS: Final = frozenset({
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "min_p",
    "n", "presence_penalty", "prompt", "repetition_penalty", "response_format", "seed", "stop",
    "suffix", "temperature", "tool_choice", "tools", "top_k", "top_logprobs", "top_p",
})  # fmt: skip
_BY_WORDS: Final = (
    ("Audio exceeds", AUDIO_TOO_LONG),
    ("Audio would allocate", AUDIO_TOO_LONG),
    ("Audio decode exceeded", AUDIO_TOO_LONG),
    ("Maximum file size exceeded", AUDIO_TOO_LONG),
    ("audio data", INVALID_AUDIO),
    ("audio file", INVALID_AUDIO),
    ("No audio", INVALID_AUDIO),
    ("Unsupported language", UNKNOWN_LANGUAGE),
    ("support verbose_json", NO_TIMES),
    ("maximum context length", PROMPT_TOO_LONG),
    ("longer than the maximum model length", PROMPT_TOO_LONG),
    ("--tool-call-parser", NO_TOOLS),
    ("not a multimodal model", TEXT_ONLY),
    ("atryoshka", ONE_SIZE),
    ("out of vocabulary", _bad("prompt")),
    ("prompt cannot be empty", _bad("prompt")),
    ("stop cannot contain", _bad("stop")),
    ("greedy sampling", GREEDY_CHOICES),
    ("grammar", BAD_FORMAT),
    ("structured outputs", BAD_FORMAT),
    ("json_schema", BAD_FORMAT),
    ("JSON schema", BAD_FORMAT),
)


class _Answer(msgspec.Struct):
    usage: OpenAIUsage | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def request_fields(salt: str, priority: int, streamed: bool) -> bytes:
    ours = b',"cache_salt":"%b","priority":%d' % (salt.encode(), priority)
    return _STREAM + ours if streamed else ours


def usage_read(document: bytes) -> Usage | None:
    try:
        usage = _decode(document).usage
    except msgspec.MsgspecError:
        return None
    return usage.usage() if usage else None


class _Tokenized(msgspec.Struct):
    count: Count


_decode_tokenized: Final = msgspec.json.Decoder(_Tokenized).decode


def count_read(document: bytes) -> int | None:
    try:
        return _decode_tokenized(document).count
    except msgspec.MsgspecError:
        return None


def fault_read(error: EngineError) -> Fault | None:
    if error.param == "max_tokens":
        return MAX_TOKENS_TOO_LARGE
    field = (error.param or "").removeprefix("body.").partition(".")[0]
    if field in _FIELDS:
        return _bad(field)
    return next((fault for words, fault in _BY_WORDS if words in error.message), None)


_FRAMES_PER_SECOND: Final = 100
_WHISPER_START_TOKENS: Final = 4
"""The start, the language, the task, and no times."""
_HEARD_FIELDS: Final = dict.fromkeys(
    ("stream", "stream_include_usage", "stream_continuous_usage_stats"), "true"
)


def tells_seconds(model: str, language: str | None, prompt: str | None) -> bool:
    """Of Whisper alone a stream counts frames of sound, after tokens whose number is known.

    A prompt has as many tokens as it likes, and `yue` is one token to the newest Whispers only.
    """
    return "whisper" in model.lower() and language != "yue" and not prompt


def seconds_heard(usage: Usage) -> int | None:
    frames = usage.input_tokens - _WHISPER_START_TOKENS
    return -(-frames // _FRAMES_PER_SECOND) if frames >= 0 else None


ENGINE: Final = Engine(
    health_path="/health",
    load=LoadMetrics(
        running=(b"vllm:num_requests_running",),
        waiting=(b"vllm:num_requests_waiting",),
        kv_use=(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),
        prefix_queries=(
            b"vllm:prefix_cache_queries_total",
            b"vllm:prefix_cache_queries",
            b"vllm:gpu_prefix_cache_queries_total",
            b"vllm:gpu_prefix_cache_queries",
        ),
        prefix_hits=(
            b"vllm:prefix_cache_hits_total",
            b"vllm:prefix_cache_hits",
            b"vllm:gpu_prefix_cache_hits_total",
            b"vllm:gpu_prefix_cache_hits",
        ),
        input_tokens=(b"vllm:prompt_tokens_total",),
        output_tokens=(b"vllm:generation_tokens_total",),
    ),
    max_choices=8,
    running_count=b'"usage":{',
    choice_of=re.compile(rb'"choices":\[\{"index":(\d+)'),
    cut=cutter(b"usage"),
    request_fields=request_fields,
    usage_read=usage_read,
    fault_read=fault_read,
    count_read=count_read,
    hearing=Hearing(_HEARD_FIELDS, tells_seconds, seconds_heard),
)
