"""What differs between the engines; everything else in the gateway is the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inference.engines import llamacpp, vllm
from inference.engines.base import (
    NO_USAGE,
    Engine,
    Fault,
    Hearing,
    Usage,
    counts,
    counts_added,
    error_read,
    last_count,
)
from inference.engines.load import EngineLoad, load_read

ENGINES: Final[Mapping[str, Engine]] = {"vllm": vllm.ENGINE, "llamacpp": llamacpp.ENGINE}
"""By `inference.models.Engine`."""

__all__ = [
    "ENGINES",
    "NO_USAGE",
    "Engine",
    "EngineLoad",
    "Fault",
    "Hearing",
    "Usage",
    "counts",
    "counts_added",
    "error_read",
    "last_count",
    "load_read",
]
