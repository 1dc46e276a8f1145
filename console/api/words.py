"""What may stand in a field that takes one of a few words. A test compares them to the models."""

from __future__ import annotations

from typing import Literal

type TaskName = Literal["chat", "completion", "embedding", "rerank", "transcription", "translation"]
type CapabilityName = Literal["vision", "audio_input", "tools", "json_schema", "reasoning"]
type EngineName = Literal["vllm", "llamacpp"]
type BackendStateName = Literal["active", "draining", "disabled"]
type ComponentName = Literal["input", "cached_input", "output", "audio_second"]
type CurrencyName = Literal["EUR", "SEK"]
type ModeName = Literal["prepaid", "postpaid"]
type LimitKindName = Literal["rpm", "tpm", "rpd", "streams"]
type PeriodName = Literal["day", "month"]
type OrganizationStateName = Literal[
    "waiting", "refused", "active", "suspended", "archived", "deleted", "erased"
]
