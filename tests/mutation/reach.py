"""Which test runs which lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Final

type Lines = frozenset[tuple[str, int]]
"""File and line."""

_TOOL: Final = sys.monitoring.COVERAGE_ID
_LINE: Final = sys.monitoring.events.LINE


class Watch:
    """Notes the lines of some code that run, each the first time."""

    def __init__(self, codes: Iterable[CodeType]) -> None:
        self._seen = set[tuple[str, int]]()
        self._codes = list(codes)

    @contextmanager
    def on(self) -> Iterator[None]:
        sys.monitoring.use_tool_id(_TOOL, "mutation")
        sys.monitoring.register_callback(_TOOL, _LINE, self._saw)
        for code in self._codes:
            sys.monitoring.set_local_events(_TOOL, code, _LINE)
        try:
            yield
        finally:
            for code in self._codes:
                sys.monitoring.set_local_events(_TOOL, code, 0)
            sys.monitoring.register_callback(_TOOL, _LINE, None)
            sys.monitoring.free_tool_id(_TOOL)

    def taken(self) -> Lines:
        """The lines since it was asked last."""
        seen = frozenset(self._seen)
        self._seen.clear()
        sys.monitoring.restart_events()
        return seen

    def _saw(self, code: CodeType, line: int) -> object:
        self._seen.add((code.co_filename, line))
        return sys.monitoring.DISABLE
