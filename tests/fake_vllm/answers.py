"""The bodies of the fake engine's answers."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.fake_vllm.ask import MODEL, Ask, Json
from tests.fake_vllm.calls import calls_made
from tests.fake_vllm.refusals import MAX_MODEL_LEN

FINGERPRINT: Final = "vllm-0.32.0-376dadb1"
METRICS: Final = Path(__file__).parent / "recorded" / "metrics.txt"


def _usage(prompt_tokens: int, output_tokens: int) -> Json:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "completion_tokens": output_tokens,
    }


def _head(ask: Ask, *, is_chunk: bool) -> Json:
    name = "text_completion"
    if ask.is_chat:
        name = "chat.completion.chunk" if is_chunk else "chat.completion"
    return {"id": ask.id, "object": name, "created": ask.created, "model": ask.model}


def answer(ask: Ask) -> Json:
    total = ask.output_tokens * ask.choices
    details = {
        "cached_tokens": ask.cached_tokens, "created_cache_tokens": 0, "multimodal_tokens": None,
    }  # fmt: skip
    body = {
        **_head(ask, is_chunk=False),
        "choices": [_choice(ask, index) for index in range(ask.choices)],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": {
            **_usage(ask.prompt_tokens, total),
            "prompt_tokens_details": details,
            "completion_tokens_details": _output_details(ask),
        },
    }
    extras: tuple[str, ...] = ("kv_transfer_params", "ec_transfer_params", "metrics")
    if ask.is_chat:
        extras = ("prompt_logprobs", "prompt_token_ids", "prompt_text", *extras)
    return body | dict.fromkeys(extras)


def _output_details(ask: Ask) -> Json | None:
    return {"reasoning_tokens": ask.reasoning_tokens} if ask.reasoning_tokens else None


def _choice(ask: Ask, index: int) -> Json:
    ending = {
        "logprobs": None, "finish_reason": ask.finish_reason, "stop_reason": ask.stop_reason,
    }  # fmt: skip
    if not ask.is_chat:
        text = "".join(ask.text(position) for position in range(ask.output_tokens))
        nulls = ("token_ids", "prompt_logprobs", "prompt_token_ids", "routed_experts")
        return {"index": index, "text": text, **ending, **dict.fromkeys(nulls)}
    return {
        "index": index, "message": _message(ask), **ending, "token_ids": None,
        "routed_experts": None,
    }  # fmt: skip


def _message(ask: Ask) -> Json:
    """All deltas put together; `tool_calls` is there only when there are any."""
    deltas = [ask.delta(position) for position in range(ask.output_tokens)]
    content, reasoning = (
        "".join(delta.get(name, "") for delta in deltas) for name in ("content", "reasoning")
    )
    made = calls_made(ask.tool_calls, deltas)
    calls = {"tool_calls": made} if made else {}
    nulls = dict.fromkeys(("refusal", "annotations", "audio", "function_call"))
    return {
        "role": "assistant", "content": content or (None if calls else ""), **nulls, **calls,
        "reasoning": reasoning or None,
    }  # fmt: skip


def _chunk(ask: Ask, choice: Json, output_tokens: int) -> Json:
    """With the count of this choice and its prompt alone."""
    chunk = {**_head(ask, is_chunk=True), "choices": [choice]}
    if ask.continuous_usage:
        usage = _usage(ask.prompts[choice["index"] // ask.n], output_tokens)
        chunk["usage"] = usage | ({"completion_tokens_details": None} if ask.is_chat else {})
    elif not ask.is_chat:
        chunk["usage"] = None
    return chunk


def first_chunk(ask: Ask, index: int) -> Json:
    delta = {"role": "assistant", "content": ""}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    return {**_chunk(ask, choice, 0), "prompt_token_ids": None, "prompt_text": None}


def token_chunk(ask: Ask, index: int, position: int) -> Json:
    return _chunk(ask, _token_choice(ask, index, position), position + 1)


def _token_choice(ask: Ask, index: int, position: int) -> Json:
    is_last = position == ask.output_tokens - 1
    finish = ask.finish_reason if is_last else None
    if not ask.is_chat:
        extras = ("stop_reason", "prompt_token_ids", "token_ids")
        text = ask.text(position)
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
        return choice | dict.fromkeys(extras)
    stop = {"stop_reason": ask.stop_reason} if is_last else {}
    delta = ask.delta(position)
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**choice, **stop, "token_ids": None}


def usage_chunk(ask: Ask) -> Json:
    details = {"cached_tokens": ask.cached_tokens, "created_cache_tokens": 0}
    total = ask.output_tokens * ask.choices
    usage = {**_usage(ask.prompt_tokens, total), "prompt_tokens_details": details}
    if ask.reasoning_tokens:
        usage["completion_tokens_details"] = _output_details(ask)
    return {
        **_head(ask, is_chunk=True), "choices": [], "usage": usage,
        "system_fingerprint": FINGERPRINT,
    }  # fmt: skip


def models() -> Json:
    allowed = dict.fromkeys(("allow_sampling", "allow_logprobs", "allow_view"), True)
    denied = dict.fromkeys(
        ("allow_create_engine", "allow_search_indices", "allow_fine_tuning", "is_blocking"), False
    )
    head = {"id": f"modelperm-{uuid.uuid4().hex[:16]}", "object": "model_permission"}
    times = {"created": int(time.time())}
    permission = {**head, **times, **allowed, **denied, "organization": "*", "group": None}
    model = {"id": MODEL, "object": "model", **times, "owned_by": "vllm", "root": f"./{MODEL}"}
    rest = {"parent": None, "max_model_len": MAX_MODEL_LEN, "permission": [permission]}
    return {"object": "list", "data": [{**model, **rest}]}


def metrics(counts: Mapping[str, float]) -> str:
    """The recorded metrics, with the counts of now by their names."""
    text = METRICS.read_text().replace("tiny-llama", MODEL)
    for name, count in counts.items():
        text = re.sub(rf"(?m)^({name}{{[^}}]*}}) .*$", rf"\g<1> {float(count)}", text)
    return text


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
