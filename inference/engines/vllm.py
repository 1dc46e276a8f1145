"""vLLM: counts in each event (`continuous_usage_stats`), one salt per tenant for its cache."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from inference.engines.base import (
    BAD_FORMAT,
    MAX_TOKENS_TOO_LARGE,
    NO_TOOLS,
    PROMPT_TOO_LONG,
    TEXT_ONLY,
    Engine,
    EngineError,
    Fault,
    OpenAIUsage,
    Usage,
)

_STREAM: Final = b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}'
_SAMPLING: Final = frozenset({
    "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "min_p", "n",
    "presence_penalty", "repetition_penalty", "seed", "stop", "temperature", "top_k",
    "top_logprobs", "top_p",
})  # fmt: skip
_BY_WORDS: Final = (
    ("maximum context length", PROMPT_TOO_LONG),
    ("longer than the maximum model length", PROMPT_TOO_LONG),
    ("tool choice requires", NO_TOOLS),
    ("not a multimodal model", TEXT_ONLY),
    ("grammar", BAD_FORMAT),
    ("json_schema", BAD_FORMAT),
    ("JSON schema", BAD_FORMAT),
)


class _Answer(msgspec.Struct):
    usage: OpenAIUsage | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def request_fields(salt: str, streamed: bool) -> bytes:
    return (_STREAM if streamed else b"") + b',"cache_salt":"%b"' % salt.encode()


def usage_read(document: bytes) -> Usage | None:
    try:
        usage = _decode(document).usage
    except msgspec.MsgspecError:
        return None
    return usage.usage() if usage else None


def fault_read(error: EngineError) -> Fault | None:
    if error.param == "max_tokens":
        return MAX_TOKENS_TOO_LARGE
    if error.param in _SAMPLING:
        return Fault(f"This model does not take that value of `{error.param}`.", error.param, None)
    return next((fault for words, fault in _BY_WORDS if words in error.message), None)


ENGINE: Final = Engine(
    health_path="/health",
    running_metric="vllm:num_requests_running",
    max_choices=8,
    running_count=b'"usage":{',
    cut=re.compile(rb',"usage":\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}'),
    request_fields=request_fields,
    usage_read=usage_read,
    fault_read=fault_read,
)
