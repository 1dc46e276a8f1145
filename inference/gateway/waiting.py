"""Requests that wait for a backend with room, fairly between organizations."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from inference.gateway.errors import GatewayError, NoCapacity, SlowDown
from inference.gateway.fleet import Fleet
from inference.live.seen import QueueSeen
from inference.routing.fair import FairQueue, Pace
from inference.snapshot import KeyEntry, ModelEntry, Route

ORGANIZATIONS: Final = 10
"""All together may have as many waiting for a model as so many with their most."""
PRIORITY_SCALE: Final = 100
"""The largest share, so that one request more in flight never counts as none."""
AHEAD: Final = 4
"""Who has in flight so many times less than the one with most goes before nearly all of that."""

type Choose = Callable[[bool], Route | None]
"""Takes whether the request goes first in the queues of engines; None while all are full."""


@dataclass(slots=True)
class _Presence:
    """What an organization has in flight at a model."""

    share: int
    in_flight: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request in the queue. Those of one `kind` may go to the same backends."""

    key: KeyEntry
    kind: Hashable
    choose: Choose
    placed: asyncio.Future[Route]
    since: float

    def find(self, goes_first: bool) -> Route | Exception | None:
        """What ends its waiting now, if anything does."""
        try:
            return self.choose(goes_first)
        except Exception as error:
            return error


class _Line:
    """What waits for one model, and how many each organization has in flight there."""

    def __init__(self) -> None:
        self.queue = FairQueue[_Waiter]()
        self.running: dict[UUID, _Presence] = {}
        self._pace = Pace()

    def put(self, waiter: _Waiter, cost: int, max_waiting: int) -> None:
        """Raises SlowDown and NoCapacity when too many wait."""
        organization, queue = waiter.key.organization_id, self.queue
        waiting, now = queue.waiting(organization), waiter.since
        if not queue:
            self._pace.begin(now)
        if 0 < max_waiting <= waiting:
            ahead = waiting / queue.part(organization)
            raise SlowDown(headers=self._retry_after(ahead, now))
        if len(queue) >= max_waiting * ORGANIZATIONS:
            raise self.no_capacity(now)
        queue.put(organization, waiter.key.share, waiter, cost)

    def put_first(self, waiter: _Waiter) -> None:
        """For one that was let in before; it may always wait."""
        if not self.queue:
            self._pace.begin(waiter.since)
        self.queue.put_first(waiter.key.organization_id, waiter.key.share, waiter)

    def take(self, now: float) -> tuple[_Waiter, Route | Exception] | None:
        """Whose turn it is, and what was found for it; None when nobody could go.

        Of those of one kind only the first looks for room, and the one that goes: many may wait.
        """
        looked = dict[Hashable, tuple[_Waiter, Route | Exception | None]]()
        most = max((one.in_flight / one.share for one in self.running.values()), default=0)

        def look(waiter: _Waiter) -> tuple[_Waiter, Route | Exception | None]:
            goes_first = self._goes_first(waiter.key, most)
            kind = waiter.kind, goes_first
            if kind not in looked:
                looked[kind] = waiter, waiter.find(goes_first)
            return looked[kind]

        waiter = self.queue.take(lambda waiter: look(waiter)[1] is not None)
        if waiter is None:
            return None
        first, found = look(waiter)
        if waiter is not first:
            found = waiter.find(self._goes_first(waiter.key, most))
        if found is None:
            self.put_first(waiter)
            return None
        self._pace.went(now)
        return waiter, found

    def in_flight(self, organization: UUID) -> int:
        one = self.running.get(organization)
        return one.in_flight if one else 0

    def _goes_first(self, key: KeyEntry, most: float) -> bool:
        """`most` is what the organization with most has in flight for its share."""
        return (self.in_flight(key.organization_id) + 1) / key.share * AHEAD <= most

    def no_capacity(self, now: float) -> GatewayError:
        return NoCapacity(headers=self._retry_after(len(self.queue), now))

    def _retry_after(self, waiting: float, now: float) -> dict[str, str]:
        return {"Retry-After": str(self._pace.left_s(waiting, now))}

    def rows(self, model: str, now: float) -> Iterator[QueueSeen]:
        for turn in self.queue:
            organization = turn.items[0].key.organization_id
            oldest_s = now - min(waiter.since for waiter in turn.items)
            in_flight = self.in_flight(organization)
            yield QueueSeen(model, organization, len(turn.items), oldest_s, in_flight, turn.share)


class Waiting:
    """Hands out the room at the backends: at once where there is some, else by turns.

    While requests wait for a model no other goes before them, but for one whose turn it is.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lines = defaultdict[str, _Line](_Line)
        self._queued = OrderedDict[str, _Line]()
        fleet.on_room.append(self._dispatch)

    async def place(
        self,
        model: ModelEntry,
        key: KeyEntry,
        cost: int,
        choose: Choose,
        *,
        is_retry: bool = False,
    ) -> Route:
        """A route with room, on which the request counts as in flight until it leaves.

        `choose` says which that is now. Raises SlowDown, NoCapacity, and what `choose` raises.
        `cost` is in tokens, about; a retry has paid it.

        An organization with little in flight beside another with much waits for nothing but the
        most that a backend may have in flight: its priority puts it first in the engine's queue,
        where the other's may be many, for what an engine tells of its load comes late.
        """
        line = self._lines[model.public_id]
        if not line.queue:
            route = choose(False)
            if route is not None:
                self._enter(line, key, route)
                return route
        return await self._wait(line, model, key, cost, choose, is_retry=is_retry)

    def leave(self, model: ModelEntry, key: KeyEntry, route: Route) -> None:
        """The request that was placed there is over."""
        running = self._lines[model.public_id].running
        one = running[key.organization_id]
        one.in_flight -= 1
        if not one.in_flight:
            del running[key.organization_id]
        self._fleet.leave(route)

    def priority(self, model: ModelEntry, key: KeyEntry) -> int:
        """Where a request belongs in an engine's own queue; who has least in flight goes first."""
        in_flight = self._lines[model.public_id].in_flight(key.organization_id)
        return in_flight * PRIORITY_SCALE // key.share

    def seen(self) -> list[QueueSeen]:
        now = asyncio.get_running_loop().time()
        return [row for model, line in self._queued.items() for row in line.rows(model, now)]

    def _enter(self, line: _Line, key: KeyEntry, route: Route) -> None:
        one = line.running.get(key.organization_id)
        if one is None:
            one = line.running[key.organization_id] = _Presence(key.share)
        one.share = key.share
        one.in_flight += 1
        self._fleet.enter(route)

    async def _wait(
        self,
        line: _Line,
        model: ModelEntry,
        key: KeyEntry,
        cost: int,
        choose: Choose,
        *,
        is_retry: bool,
    ) -> Route:
        loop, policy = asyncio.get_running_loop(), model.policy
        kind = object() if is_retry else key.regions
        waiter = _Waiter(key, kind, choose, loop.create_future(), loop.time())
        if is_retry:
            line.put_first(waiter)
        else:
            line.put(waiter, cost, policy.max_waiting)
        self._queued[model.public_id] = line
        timer = loop.call_later(policy.queue_timeout_s, self._give_up, line, waiter)
        while self._let_one_go(line):  # those before it may be waiting for other backends
            pass
        try:
            return await waiter.placed
        except asyncio.CancelledError:
            line.queue.remove(key.organization_id, waiter)
            if _was_placed(waiter):
                self.leave(model, key, waiter.placed.result())
            raise
        finally:
            timer.cancel()

    def _give_up(self, line: _Line, waiter: _Waiter) -> None:
        """It waited for as long as it may."""
        if not waiter.placed.done():
            error = line.no_capacity(asyncio.get_running_loop().time())
            line.queue.remove(waiter.key.organization_id, waiter)
            waiter.placed.set_exception(error)

    def _dispatch(self) -> None:
        """Let go who can, one of each model in turn, for they may share backends."""
        in_vain = 0
        while in_vain < len(self._queued):
            model, line = next(iter(self._queued.items()))
            self._queued.move_to_end(model)
            if not line.queue:
                del self._queued[model]
            elif self._let_one_go(line):
                in_vain = 0
            else:
                in_vain += 1

    def _let_one_go(self, line: _Line) -> bool:
        taken = line.take(asyncio.get_running_loop().time())
        if taken is None:
            return False
        waiter, found = taken
        if waiter.placed.done():  # it was cancelled just now
            return True
        if isinstance(found, Exception):
            waiter.placed.set_exception(found)
        else:
            self._enter(line, waiter.key, found)
            waiter.placed.set_result(found)
        return True


def _was_placed(waiter: _Waiter) -> bool:
    """Looks at an exception too: one that nobody looks at is logged as lost."""
    placed = waiter.placed
    return placed.done() and not placed.cancelled() and placed.exception() is None
