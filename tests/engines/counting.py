"""What three sides say that a request took: the answer, the record, and the engine's counters."""

from __future__ import annotations

from typing import Any

from billing.metering import UsageRecord
from inference.engines import Usage
from tests.engines.fleet import Vllm
from tests.inference.gateway.conftest import record_of, records, wait_until


def told(usage: Any) -> Usage:
    """The usage that the SDK shows."""
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details else 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return Usage(usage.prompt_tokens, cached or 0, usage.completion_tokens)


def used(record: UsageRecord) -> Usage:
    return Usage(record.input_tokens, record.cached_tokens, record.output_tokens)


def recorded(request_id: str | None) -> UsageRecord:
    """The one record of a request; those of an earlier test may still be on their way."""
    found = wait_until(lambda: [r for r in records() if str(r.request_id) == request_id])
    assert len(found) == 1
    return found[0]


def finished(stream: Any) -> tuple[Any, UsageRecord]:
    """The last event of a stream, which alone may hold a count, and the record."""
    chunks = list(stream)
    assert len({chunk.model for chunk in chunks}) == 1
    assert not any(chunk.usage for chunk in chunks[:-1])
    return chunks[-1], record_of(stream.response)


class Counted:
    """What the engine's own counters say since this was made."""

    def __init__(self, vllm: Vllm) -> None:
        self._vllm = vllm
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        return self._vllm.metric("prompt_tokens_total"), self._vllm.metric(
            "generation_tokens_total"
        )

    def tokens(self) -> tuple[int, int]:
        """Input and output; of a prompt with `n` choices the input `n` times."""
        before, now = self._before, self._now()
        return now[0] - before[0], now[1] - before[1]
