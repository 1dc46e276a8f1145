"""The JSON that the fake engine gives on command: as arguments of tool calls, or as its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

type Json = dict[str, Any]

PIECE_CHARS: Final = 6
"""How much of it comes with one token."""
_TOOL: Final = re.compile(r"!tool (\S+) ")
_SAY: Final = "!say "
_decode: Final = json.JSONDecoder().raw_decode


@dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    arguments: str

    def whole(self, arguments: str) -> Json:
        """As it stands in a message, with what there is of its arguments."""
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}

    def pieces(self, index: int) -> Iterator[Json]:
        """The `delta` of each token: the name first, then the arguments bit by bit."""
        start = {"id": self.id, "type": "function", "index": index}
        yield {"tool_calls": [{**start, "function": {"name": self.name, "arguments": ""}}]}
        for piece in _pieces(self.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def calls_made(calls: Sequence[ToolCall], deltas: Sequence[Json]) -> list[Json]:
    """Those of `calls` that `deltas` begin, put together from them."""
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    arguments = dict[int, str]()
    for piece in pieces:
        before = arguments.get(piece["index"], "")
        arguments[piece["index"]] = before + piece["function"]["arguments"]
    return [calls[index].whole(text) for index, text in arguments.items()]


def calls_in(text: str, request_id: str) -> tuple[ToolCall, ...]:
    """The calls that the commands in `text` ask for."""
    found = enumerate(_TOOL.finditer(text))
    return tuple(
        ToolCall(f"chatcmpl-tool-{request_id}{index}", match[1], _json_at(text, match.end()))
        for index, match in found
    )


def words_in(text: str) -> tuple[str, ...]:
    """The tokens of the text that the commands in `text` ask for; empty without."""
    start = text.find(_SAY)
    return tuple(_pieces(_json_at(text, start + len(_SAY)))) if start >= 0 else ()


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS))


def _json_at(text: str, start: int) -> str:
    """The JSON that begins at `start`; where there is none, what stands there up to a blank."""
    try:
        _, end = _decode(text, start)
    except ValueError:
        return text[start:].split(maxsplit=1)[0]
    return text[start:end]
