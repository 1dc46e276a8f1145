"""What an engine tells of its load in its metrics, which is Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

type Names = tuple[bytes, ...]
"""What a metric was called over time, the newest first; the first one that is there counts."""

_AFTER_NAME: Final = b"{ "


@dataclass(frozen=True, slots=True)
class LoadMetrics:
    """Names of gauges of requests, of the share of the cache in use (0 to 1), and of counters of
    tokens: looked for and found in the prefix cache, read as prompts, and generated.
    """

    running: Names
    waiting: Names
    kv_use: Names
    prefix_queries: Names = ()
    prefix_hits: Names = ()
    input_tokens: Names = ()
    output_tokens: Names = ()


class EngineLoad(NamedTuple):
    """None is what the engine did not say, or what makes no sense."""

    running: int | None
    waiting: int | None
    kv_use: float | None
    prefix_queries: int | None
    prefix_hits: int | None
    input_tokens: int | None = None
    output_tokens: int | None = None


def load_read(text: bytes, names: LoadMetrics) -> EngineLoad:
    """The load in a page of metrics, however broken. Several engines behind one address add up;
    of their caches the fullest counts.
    """
    text = b"\n" + text
    return EngineLoad(
        running=_sum(text, names.running),
        waiting=_sum(text, names.waiting),
        kv_use=_fullest(text, names.kv_use),
        prefix_queries=_sum(text, names.prefix_queries),
        prefix_hits=_sum(text, names.prefix_hits),
        input_tokens=_sum(text, names.input_tokens),
        output_tokens=_sum(text, names.output_tokens),
    )


def _sum(text: bytes, names: Names) -> int | None:
    values = _values(text, names)
    return round(math.fsum(values)) if values else None


def _fullest(text: bytes, names: Names) -> float | None:
    values = _values(text, names)
    return min(max(values), 1.0) if values else None


def _values(text: bytes, names: Names) -> list[float]:
    found = (list(_values_of(text, name)) for name in names)
    return next((values for values in found if values), [])


def _values_of(text: bytes, name: bytes) -> Iterator[float]:
    """Looks for lines by their beginning: a page has hundreds of kilobytes, read each second."""
    line = b"\n" + name
    at = text.find(line)
    while at >= 0:
        after = at + len(line)
        end = text.find(b"\n", after)
        rest = text[after:] if end < 0 else text[after:end]
        if rest[:1] in _AFTER_NAME and (value := _value(rest)) is not None:
            yield value
        at = text.find(line, after)


def _value(rest: bytes) -> float | None:
    """The number behind the labels of a line."""
    try:
        value = float(rest[rest.rfind(b"}") + 1 :].split()[0])
    except (ValueError, IndexError):
        return None
    return value if 0 <= value < math.inf else None
