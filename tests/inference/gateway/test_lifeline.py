"""What ends a request from outside lets go of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from inference.gateway.lifeline import Ended, Lifeline


class ServerFuture:
    """As the server's own: it keeps its callbacks whatever becomes of it."""

    _asyncio_future_blocking = False

    def __init__(self) -> None:
        self.callbacks = list[Callable[[Any], object]]()

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        self.callbacks.append(callback)

    def cancel(self) -> None:
        pass


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
async def test_a_closed_lifeline_is_in_no_cycle() -> None:
    """The server's futures know no garbage collector: what they hold in a cycle stays for ever."""
    watched = asyncio.Event()

    def receive() -> Any:
        watched.set()
        return ServerFuture()

    lifeline = Lifeline(receive, 60, set())
    await watched.wait()
    gone = weakref.ref(lifeline)
    lifeline.close()
    del lifeline
    assert gone() is None


async def test_the_end_of_a_body_is_not_the_clients_leave() -> None:
    """A body of known length is not read to the server's word that it has ended."""
    loop, asked = asyncio.get_running_loop(), list[asyncio.Future[Any]]()
    is_asked_again = asyncio.Event()

    def receive() -> Any:
        asked.append(loop.create_future())
        if len(asked) == 1:
            asked[0].set_result({"type": "http.request", "body": b"", "more_body": False})
        else:
            is_asked_again.set()
        return asked[-1]

    lifeline = Lifeline(receive, 60, set())
    await is_asked_again.wait()
    lifeline.check()
    asked[1].set_result({"type": "http.disconnect"})
    with pytest.raises(Ended), lifeline:
        await asyncio.Event().wait()
    lifeline.close()
