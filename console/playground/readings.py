"""Answers that come whole: vectors, rankings, transcripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from django.utils.translation import gettext as _
from msgspec import Struct

from console.playground.calls import Caller, Question, Refused, answer_to
from console.playground.facts import Counts, Facts, Terms, Watch


class Reading(NamedTuple):
    """What came of a question: a result and its facts, or the API's message."""

    result: Any = None
    facts: Facts = Facts()
    error: str = ""
    request_id: str = ""


async def reading_of(
    question: Question,
    caller: Caller,
    terms: Terms,
    read: Callable[[bytes], tuple[Any, Counts]],
) -> Reading:
    """Ask, and read the answer with `read`, which raises MsgspecError or IndexError."""
    watch = Watch()
    try:
        data, headers = await answer_to(question, caller)
        result, counts = read(data)
    except Refused as refused:
        return Reading(error=refused.message, request_id=refused.request_id)
    except (msgspec.MsgspecError, IndexError):
        return Reading(error=_("The answer cannot be read. Try again."))
    return Reading(result, watch.facts(question.body["model"], counts, terms, headers))


class _Vector(Struct):
    embedding: list[float]


class _Embeddings(Struct):
    data: list[_Vector]
    usage: Counts


class Likeness(NamedTuple):
    """One text beside all others; `values` are cosine similarities, -1 to 1."""

    number: int
    text: str
    values: Sequence[float]


class Embedded(NamedTuple):
    lines: Sequence[Likeness]
    dimensions: int


_decode_embeddings: Final = msgspec.json.Decoder(_Embeddings).decode


def embedding_read(data: bytes, texts: Sequence[str]) -> tuple[Embedded, Counts]:
    """Raises msgspec.MsgspecError."""
    answer = _decode_embeddings(data)
    vectors = [item.embedding for item in answer.data]
    lines = [
        Likeness(number, text, [cosine(own, other) for other in vectors])
        for number, (text, own) in enumerate(zip(texts, vectors, strict=False), start=1)
    ]
    return Embedded(lines, len(vectors[0]) if vectors else 0), answer.usage


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 when one has no length."""
    length = math.hypot(*a) * math.hypot(*b)
    return math.sumprod(a, b) / length if length else 0.0


class _Ranked(Struct):
    index: int
    relevance_score: float


class _Ranking(Struct):
    results: list[_Ranked]
    usage: Counts


class Ranked(NamedTuple):
    """A document and its score, the best first."""

    place: int
    text: str
    score: Decimal

    @property
    def share(self) -> Decimal:
        """The score within 0 and 1: not every model keeps it there."""
        return min(max(self.score, Decimal(0)), Decimal(1))


_decode_ranking: Final = msgspec.json.Decoder(_Ranking).decode


def ranking_read(data: bytes, documents: Sequence[str]) -> tuple[list[Ranked], Counts]:
    """Raises msgspec.MsgspecError, or IndexError when another document is ranked."""
    answer = _decode_ranking(data)
    best = sorted(answer.results, key=lambda ranked: -ranked.relevance_score)
    ranking = [
        Ranked(place, documents[ranked.index], Decimal(str(ranked.relevance_score)))
        for place, ranked in enumerate(best, start=1)
    ]
    return ranking, answer.usage


class _Transcript(Struct):
    text: str
    usage: Counts = Counts()


_decode_transcript: Final = msgspec.json.Decoder(_Transcript).decode


def transcript_read(data: bytes, _language: str) -> tuple[str, Counts]:
    """Raises msgspec.MsgspecError."""
    answer = _decode_transcript(data)
    return answer.text, answer.usage
