"""What ends a request from outside: its client, or the clock."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from asgiref.typing import ASGIReceiveCallable

from billing.models import Outcome

SEND_TIMEOUT_S: Final = 30.0
"""A client that takes nothing for so long, twice at most, has left."""


class Ended(Exception):  # noqa: N818
    """The client left, or the time is up: `outcome` says which."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Lifeline:
    """Within it, whatever waits for an engine ends at once when the client leaves or time is up.

    It may be entered again; what happened in between is raised on entry. Whoever sends to the
    client sets `is_sending` meanwhile and counts in `sent`: one that takes nothing has left too.
    """

    def __init__(self, receive: ASGIReceiveCallable, timeout_s: float) -> None:
        self.is_sending, self.sent = False, 0
        self._ended_by: Outcome | None = None
        self._task: asyncio.Task[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline, self._seen = self._loop.time() + timeout_s, -1
        self._gone = asyncio.ensure_future(receive())
        self._gone.add_done_callback(lambda _: self._end(Outcome.CLIENT_DISCONNECT))
        self._timer = self._loop.call_later(min(timeout_s, SEND_TIMEOUT_S), self._look)

    def __enter__(self) -> Self:
        if self._ended_by:
            raise Ended(self._ended_by)
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if exc_type is asyncio.CancelledError and self._ended_by and task:
            task.uncancel()
            raise Ended(self._ended_by) from None

    def close(self) -> None:
        self._timer.cancel()
        self._gone.cancel()

    def _look(self) -> None:
        """Whether time is up, or the client still takes what it took at the last look."""
        left_s = self._deadline - self._loop.time()
        if left_s <= 0:
            self._end(Outcome.TIMEOUT)
        elif self.is_sending and self.sent == self._seen:
            self._end(Outcome.CLIENT_DISCONNECT)
        else:
            self._seen = self.sent if self.is_sending else -1
            self._timer = self._loop.call_later(min(left_s, SEND_TIMEOUT_S), self._look)

    def _end(self, outcome: Outcome) -> None:
        if self._ended_by is None:
            self._ended_by = outcome
            if self._task:
                self._task.cancel()
