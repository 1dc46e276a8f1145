"""What a model thinks before it answers passes beside the answer."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from tests.engines.conftest import MODEL
from tests.engines.counting import recorded
from tests.inference.gateway.conftest import record_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vllm")]

THOUGHTS = "Shall I answer? I shall."
FIELDS: Any = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 12,
    "extra_body": {"chat_template_kwargs": {"thinking": True}},
}


def test_thoughts_stand_beside_the_answer(acme: OpenAI) -> None:
    answer = acme.chat.completions.create(**FIELDS)
    message: Any = answer.choices[0].message
    assert message.reasoning == THOUGHTS
    assert message.content
    assert "answer?" not in message.content
    assert recorded(answer._request_id).output_tokens == 12


def test_thoughts_are_streamed_first(acme: OpenAI) -> None:
    stream = acme.chat.completions.create(**FIELDS, stream=True)
    deltas: Any = [chunk.choices[0].delta for chunk in stream]
    kinds = ["reasoning" if getattr(delta, "reasoning", None) else "content" for delta in deltas]
    first = kinds.index("reasoning")
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == THOUGHTS
    assert "content" in kinds[first + 1 :]
    assert record_of(stream.response).output_tokens == 12
