"""What ends a request from outside: its client, the clock, or the end of the process."""

from __future__ import annotations

import asyncio
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from asgiref.typing import ASGIReceiveCallable
from django.conf import settings

from billing.models import Outcome
from inference.gateway.errors import (
    ClientLeft,
    Draining,
    GatewayError,
    KeyRevoked,
    UpstreamTimeout,
)
from inference.snapshot import KeyEntry

WATCH_AFTER_S: Final = 0.05
"""To watch a client costs a sixth of a request: one that is answered sooner is not watched."""

type _Ending = tuple[Outcome, type[GatewayError]]
_LEFT: Final = (Outcome.CLIENT_DISCONNECT, ClientLeft)
_LATE: Final = (Outcome.TIMEOUT, UpstreamTimeout)
_CUT: Final = (Outcome.TIMEOUT, Draining)
_REVOKED: Final = (Outcome.CLIENT_DISCONNECT, KeyRevoked)
"""Whoever takes the key away is the customer: what the engine counted until then is billed."""
_LAPSED: Final = (Outcome.GATEWAY_CRASH, GatewayError)


class Ended(Exception):  # noqa: N818
    """The client left, or the time is up: `outcome` says which, `error` tells the client."""

    def __init__(self, outcome: Outcome, error: type[GatewayError]) -> None:
        super().__init__(outcome)
        self.outcome, self.error = outcome, error()


class Lifeline:
    """Within it, whatever waits for an engine ends at once when the client leaves or time is up.

    It may be entered again; what happened in between is raised on entry. Whoever sends to the
    client sets `is_sending` meanwhile and counts in `sent`: one that takes nothing for a while has
    left too. It is one of `running` until it is closed.
    """

    def __init__(
        self,
        receive: ASGIReceiveCallable,
        timeout_s: float,
        running: set[Lifeline],
        key: KeyEntry | None = None,
    ) -> None:
        self.key, self.is_sending, self.sent = key, False, 0
        self._running = running
        self._running.add(self)
        self._ended_by: _Ending | None = None
        self._task: asyncio.Task[object] | None = None
        self._loop = asyncio.get_running_loop()
        self._deadline, self._seen = self._loop.time() + timeout_s, -1
        self._gone: asyncio.Future[Any] | None = None
        after_s = min(timeout_s, WATCH_AFTER_S)
        self._timer = self._loop.call_later(after_s, self._watch, receive)

    def __enter__(self) -> Self:
        self.check()
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
            raise Ended(*self._ended_by) from None

    def check(self) -> None:
        """Raises Ended if it has."""
        if self._ended_by:
            raise Ended(*self._ended_by)

    def cut(self) -> None:
        """End it, for the process stops."""
        self._end(_CUT)

    def revoke(self) -> None:
        """End it, for its key is good no more."""
        self._end(_REVOKED)

    def lapse(self) -> None:
        """End it, for the process stood still; see `vigil.py`."""
        self._end(_LAPSED)

    def close(self) -> None:
        self._running.discard(self)
        self._timer.cancel()
        if self._gone:
            self._gone.cancel()
            self._gone = None  # the server's futures know no garbage collector: no cycle with them

    def _watch(self, receive: ASGIReceiveCallable) -> None:
        self._listen(receive)
        self._look()

    def _listen(self, receive: ASGIReceiveCallable) -> None:
        self._gone = gone = asyncio.ensure_future(receive())
        gone.add_done_callback(partial(self._hear, receive))

    def _hear(self, receive: ASGIReceiveCallable, gone: asyncio.Future[Any]) -> None:
        """First comes the end of the body, where its length said that all of it was read."""
        if self._gone is None:
            return
        event = None if gone.cancelled() or gone.exception() else gone.result()
        if event and event["type"] == "http.request" and not event["more_body"]:
            self._listen(receive)
        else:
            self._end(_LEFT)

    def _look(self) -> None:
        """Whether time is up, or the client still takes what it took at the last look."""
        left_s = self._deadline - self._loop.time()
        if left_s <= 0:
            self._end(_LATE)
        elif self.is_sending and self.sent == self._seen:
            self._end(_LEFT)
        else:
            self._seen = self.sent if self.is_sending else -1
            self._timer = self._look_in(left_s)

    def _look_in(self, left_s: float) -> asyncio.TimerHandle:
        return self._loop.call_later(min(left_s, settings.GATEWAY_SEND_TIMEOUT_S), self._look)

    def _end(self, ending: _Ending) -> None:
        if self._ended_by is None:
            self._ended_by = ending
            if self._task:
                self._task.cancel()
