"""llama.cpp: counts in each event as `timings`, and one choice for each request.

It knows no salt, so that nothing of a prompt is kept for the next: one tenant could time another's.
Nor does it know priorities: what waits there goes in the order in which it came.
It counts the choices of one request apart, so more than one cannot be metered. It puts the path of
its model file into answers, and the usage of a completion into the last event that has a choice.
"""

from __future__ import annotations

from typing import Final

import msgspec

from inference.engines.base import (
    BAD_FORMAT,
    PROMPT_TOO_LONG,
    TEXT_ONLY,
    Count,
    Engine,
    EngineError,
    Fault,
    OpenAIUsage,
    Usage,
    cutter,
)
from inference.engines.load import LoadMetrics

_STREAM: Final = b',"stream_options":{"include_usage":true},"timings_per_token":true'
_BY_WORDS: Final = (
    ("JSON schema", BAD_FORMAT),
    ("grammar", BAD_FORMAT),
    ("image input is not supported", TEXT_ONLY),
    ("audio input is not supported", TEXT_ONLY),
)


class _Timings(msgspec.Struct):
    prompt_n: Count
    predicted_n: Count
    cache_n: Count = 0

    def usage(self) -> Usage:
        return Usage(self.cache_n + self.prompt_n, self.cache_n, self.predicted_n)


class _Answer(msgspec.Struct):
    usage: OpenAIUsage | None = None
    timings: _Timings | None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode


def request_fields(salt: str, priority: int, streamed: bool) -> bytes:
    return (_STREAM if streamed else b"") + b',"cache_prompt":false'


def usage_read(document: bytes) -> Usage | None:
    try:
        answer = _decode(document)
    except msgspec.MsgspecError:
        return None
    count = answer.usage or answer.timings
    return count.usage() if count else None


def fault_read(error: EngineError) -> Fault | None:
    if error.type == "exceed_context_size_error":
        return PROMPT_TOO_LONG
    return next((fault for words, fault in _BY_WORDS if words in error.message), None)


ENGINE: Final = Engine(
    health_path="/health",
    load=LoadMetrics(
        running=(b"llamacpp:requests_processing",),
        waiting=(b"llamacpp:requests_deferred",),
        kv_use=(b"llamacpp:kv_cache_usage_ratio",),
        output_tokens=(b"llamacpp:tokens_predicted_total",),
    ),
    max_choices=1,
    running_count=b'"timings":{',
    choice_of=None,
    cut=cutter(b"usage", b"timings"),
    request_fields=request_fields,
    usage_read=usage_read,
    fault_read=fault_read,
)
