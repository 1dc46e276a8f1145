"""Answers on their way: what is heard of each model, as pieces of a page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

import msgspec
from django.template.loader import render_to_string
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from console.currencies import amounts_in, shown_currency
from console.playground.calls import Caller, Question, Refused, events_of, reply_to
from console.playground.chats import Answer, Turn, chat_question, turns_write
from console.playground.facts import Facts, Terms, Watch
from console.playground.forms import ChatForm

SHOWN_EVERY_S: Final = 0.08
SLOWER_PER_CHARS: Final = 4000
"""The longer an answer is, the less often it is shown anew: what is sent stays under 50 kB/s."""


@dataclass
class Column:
    """A conversation with one model; `asked` is the turn that waits for its answer."""

    index: int
    model: str
    turns: list[Turn] = field(default_factory=list)
    asked: Turn | None = None
    answer: Answer = field(default_factory=Answer)
    error: str = ""
    request_id: str = ""

    @property
    def number(self) -> int:
        """Of the turn that is asked, from 0: its place on the page."""
        return len(self.turns)

    @property
    def history(self) -> str:
        """The conversation as its form carries it."""
        return turns_write(self.turns)

    def question(self, form: ChatForm) -> Question:
        """What asks for the turn that waits; without one, what asked for the last answer."""
        *before, last = [*self.turns, self.asked] if self.asked else self.turns or [Turn("")]
        turns = [*before, Turn(last.text, last.images)]
        return chat_question(self.model, turns, form.cleaned_data["system"], form.options)

    async def ask(self, question: Question, caller: Caller, terms: Terms) -> AsyncGenerator[None]:
        """Ask, and tell when there is more to show. At the end there is a turn, or an error."""
        watch = Watch()
        try:
            async with reply_to(question, caller) as reply, aclosing(events_of(reply)) as events:
                self.request_id = reply.headers.get("x-request-id", "")
                async for event in events:
                    if self.answer.hear(event):
                        watch.first_token()
                        yield
                self._end(watch.facts(self.model, self.answer.counts, terms, reply.headers))
        except Refused as refused:
            self.error, self.request_id = refused.message, refused.request_id
        except msgspec.MsgspecError:
            self.error = _("The answer cannot be read. Try again.")

    def _end(self, facts: Facts) -> None:
        self.error = self.answer.error
        if self.asked and not self.error:
            self.turns.append(
                Turn(
                    self.asked.text,
                    self.asked.images,
                    answer=self.answer.text,
                    reasoning=self.answer.reasoning,
                    calls=self.answer.calls,
                    model=self.model,
                    facts=facts,
                )
            )
            self.asked = None


def session_of(columns: Iterable[Column]) -> Facts:
    """What the conversations used, together."""
    return Facts.sum(turn.facts for column in columns for turn in column.turns)


class Page:
    """The columns as server-sent events, each with pieces that htmx puts in their place."""

    def __init__(self, columns: Sequence[Column], context: Mapping[str, Any]) -> None:
        self.columns, self.context = columns, context
        self._language, self._currency = get_language(), shown_currency()

    async def events(self, asking: Sequence[AsyncGenerator[None]]) -> AsyncGenerator[bytes]:
        yield self._event("started", columns=self.columns)
        shows = [self._shown(*pair) for pair in zip(self.columns, asking, strict=True)]
        async with aclosing(merged(shows)) as events:
            async for event in events:
                yield event
        yield self._event("ended", columns=self.columns, has_failed=self._has_failed)

    @property
    def _has_failed(self) -> bool:
        return all(column.error for column in self.columns)

    async def _shown(self, column: Column, asking: AsyncGenerator[None]) -> AsyncGenerator[bytes]:
        number, shown_at = column.number, 0.0
        async with aclosing(asking):
            async for _more in asking:
                pause_s = SHOWN_EVERY_S * (1 + len(column.answer.text) / SLOWER_PER_CHARS)
                if monotonic() - shown_at >= pause_s:
                    shown_at = monotonic()
                    yield self._event("more", column=column, number=number)
        yield self._event(
            "answered", column=column, number=number, session=session_of(self.columns)
        )

    def _event(self, name: str, **context: Any) -> bytes:
        with override(self._language), amounts_in(self._currency):
            html = render_to_string(
                f"console/playground/_events.html#{name}", {**self.context, **context}
            )
        lines = html.strip().splitlines()
        return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"


async def merged[T](streams: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """What comes of any of `streams`, as it comes; none of them outlives this one."""
    queue = asyncio.Queue[T | None]()

    async def pump(stream: AsyncGenerator[T]) -> None:
        try:
            async for item in stream:
                queue.put_nowait(item)
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if item is None:
                running -= 1
            else:
                yield item
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
