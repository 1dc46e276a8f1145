"""The most that a request can use, known before any engine sees it: what it costs at most is held.

A token of a text has at least one byte, and a template adds little. What an engine writes ends at
`max_tokens`, or where the context does, so nothing is ever added to a request (see decision 0013).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

TEMPLATE_TOKENS: Final = 512
"""What a chat template may add of its own: a system prompt, how to call tools, special tokens."""
TOOL_FACTOR: Final = 3
"""Templates write tools with indents, which no byte of the request stands for."""
IMAGE_TOKENS: Final = 16_384
"""Of one image, at the engines that cut images into most pieces."""
PAIR_TOKENS: Final = 128
"""What a template adds to a query and a document."""
BYTES_PER_TOKEN: Final = 4
USUAL_OUTPUT: Final = 1024


class Sent(NamedTuple):
    """What came: bytes of text, JSON included, and images beside them."""

    text_bytes: int
    images: int = 0


class Bound(NamedTuple):
    """The most that a request can use. An engine reads at most `input_tokens` in all.

    It has `prompts`, each within the context, with `choices` answers to each prompt, each of at
    most `output_tokens`; None is what the context leaves. `tokens` is about what it will take.
    """

    input_tokens: int = 0
    output_tokens: int | None = 0
    prompts: int = 1
    choices: int = 1
    audio_seconds: int = 0

    def tokens(self, context_tokens: int) -> int:
        """What counts against the tokens of a minute, until the engine counted: about what it
        reads, and all that it asks for.
        """
        left = max(context_tokens - self.input_tokens // BYTES_PER_TOKEN, 1)
        asked = USUAL_OUTPUT if self.output_tokens is None else self.output_tokens
        answers = self.prompts * self.choices
        return self.input_tokens // BYTES_PER_TOKEN + min(asked, left) * answers

    def corners(self, context_tokens: int) -> Iterator[tuple[int, int]]:
        """Input and output tokens, in ways of which one costs most whatever the prices are.

        What is read and what is written share the context: more of one leaves less to the other.
        """
        if self.output_tokens == 0:
            yield self.input_tokens, 0
            return
        room = context_tokens * self.prompts
        asked = context_tokens if self.output_tokens is None else self.output_tokens
        read, written = min(self.input_tokens, room), min(asked, context_tokens) * self.prompts
        if read + written <= room:
            yield read, written * self.choices
            return
        yield read, (room - read) * self.choices
        yield room - written, written * self.choices
