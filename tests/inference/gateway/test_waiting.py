"""Who goes when, at backends that a test fills and empties."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from billing.models import LIST_EUR
from billing.pricing import NO_PRICES
from inference.gateway.errors import NoCapacity, RegionUnavailable, SlowDown
from inference.gateway.fleet import Fleet
from inference.gateway.waiting import Waiting
from inference.limits import Limits
from inference.live import QueueSeen
from inference.policies import Policy
from inference.snapshot import KeyEntry, ModelEntry, Route
from tests.inference.gateway.upstream.engines import route_to

COST = 512
PATIENT_S = 60.0


def route(region: str = "se", room: int = 1) -> Route:
    return replace(route_to("http://127.0.0.1:9"), region=region, max_in_flight=room)


def model(*routes: Route, max_waiting: int = 50, queue_timeout_s: float = PATIENT_S) -> ModelEntry:
    policy = Policy(True, "", 1, 1, 1, 1, queue_timeout_s, max_waiting)
    texts: dict[str, Any] = dict.fromkeys(
        ("name", "family", "owned_by", "licence", "status", "replacement"), ""
    )
    nothing: dict[str, Any] = dict.fromkeys(("release_date", "sunset_at", "visible_to"))
    return ModelEntry(
        public_id=f"model-{uuid4()}",
        aliases=(),
        created=0,
        tasks=frozenset(),
        capabilities=frozenset(),
        context_tokens=1,
        limits=Limits(*range(len(Limits._fields))),
        status_since=datetime.now(UTC),
        prices={LIST_EUR: NO_PRICES},
        policy=policy,
        routes=routes,
        **texts,
        **nothing,
    )


def key(share: int = 1, *regions: str) -> KeyEntry:
    return KeyEntry(uuid4(), uuid4(), uuid4(), frozenset(regions) or None, share)


class Request:
    """One at the desk: it is placed, or refused, or it waits."""

    def __init__(
        self, waiting: Waiting, model: ModelEntry, key: KeyEntry, task: asyncio.Task[Route]
    ) -> None:
        self._waiting, self.model, self.key, self.task = waiting, model, key, task
        self.has_left = False

    @property
    def waits(self) -> bool:
        return not self.task.done()

    @property
    def is_placed(self) -> bool:
        return not self.waits and not self.has_left

    @property
    def route(self) -> Route:
        return self.task.result()

    @property
    def error(self) -> BaseException | None:
        assert not self.waits
        return self.task.exception()

    def end(self) -> None:
        self.has_left = True
        self._waiting.leave(self.model, self.key, self.route)

    async def leave(self) -> None:
        self.end()
        await turn()


class Desk:
    """Places requests on the first route with room, and tells who was placed, in order."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.waiting = Waiting(self.fleet)
        self.placed, self.requests = list[str](), list[Request]()
        self.is_closed = False
        """The engines say that they are full, and only who goes first does not mind."""
        self.fault: Exception | None = None

    def choose(self, model: ModelEntry, key: KeyEntry, *, goes_first: bool = False) -> Route | None:
        if self.fault:
            raise self.fault
        allowed = [one for one in model.routes if not key.regions or one.region in key.regions]
        rooms = (one for one in allowed if self._has_room(one))
        return next(rooms, None) if goes_first or not self.is_closed else None

    def _has_room(self, route: Route) -> bool:
        return self.fleet.in_flight(route.backend_id) < route.max_in_flight

    async def ask(
        self, name: str, model: ModelEntry, key: KeyEntry, *, is_retry: bool = False
    ) -> Request:
        """A request that was placed or refused, or waits, when this returns."""
        placing = self._place(name, model, key, is_retry=is_retry)
        request = Request(self.waiting, model, key, asyncio.create_task(placing))
        self.requests.append(request)
        await turn()
        return request

    async def _place(self, name: str, model: ModelEntry, key: KeyEntry, *, is_retry: bool) -> Route:
        route = await self.waiting.place(
            model,
            key,
            COST,
            lambda goes_first: self.choose(model, key, goes_first=goes_first),
            is_retry=is_retry,
        )
        self.placed.append(name)
        return route

    async def fill(self, model: ModelEntry) -> list[Request]:
        """Take all the room there is, by another organization for each."""
        taken = list[Request]()
        while self.choose(model, other := key()):
            taken.append(await self.ask("taken", model, other))
        self.placed.clear()
        return taken

    async def empty(self) -> None:
        """Let one after the other leave, until nobody waits."""
        while self.waiting.seen():
            await next(one for one in self.requests if one.is_placed).leave()


async def turn() -> None:
    """Let all that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Of which nothing is left waiting, and of which the loop has nothing to complain."""
    complaints = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    desk = Desk()
    yield desk
    for request in desk.requests:
        request.task.cancel()
    await turn()
    assert (desk.waiting.seen(), complaints) == ([], [])


async def test_where_there_is_room_nobody_waits(desk: Desk) -> None:
    one, here = key(), route()
    first = await desk.ask("first", model(here), one)

    assert first.route is here
    assert desk.fleet.in_flight(here.backend_id) == 1


async def test_who_finds_no_room_goes_when_another_leaves(desk: Desk) -> None:
    here = route()
    tiny = model(here)
    [taken] = await desk.fill(tiny)
    waits = await desk.ask("waits", tiny, key())
    assert waits.waits

    await taken.leave()
    assert waits.route is here
    assert desk.fleet.in_flight(here.backend_id) == 1


async def test_a_burst_of_one_organization_lets_another_through(desk: Desk) -> None:
    tiny, bursts, steady = model(route()), key(), key()
    await desk.fill(tiny)
    for number in range(5):
        await desk.ask(f"burst {number}", tiny, bursts)
    await desk.ask("steady", tiny, steady)

    await desk.empty()
    assert desk.placed[:2] == ["burst 0", "steady"]
    assert desk.placed[2:] == ["burst 1", "burst 2", "burst 3", "burst 4"]


async def test_a_larger_share_goes_more_often(desk: Desk) -> None:
    tiny, large, small = model(route()), key(3), key(1)
    await desk.fill(tiny)
    for number in range(6):
        await desk.ask(f"large {number}", tiny, large)
        await desk.ask(f"small {number}", tiny, small)

    await desk.empty()
    assert sum(name.startswith("large") for name in desk.placed[:8]) == 6


async def test_who_comes_later_does_not_go_first_though_there_is_room(desk: Desk) -> None:
    tiny = model(route(room=2))
    desk.is_closed = True
    await desk.ask("first", tiny, key())
    await desk.ask("second", tiny, key())

    desk.is_closed = False
    await desk.ask("third", tiny, key())
    assert desk.placed == ["first", "second"]


async def test_who_waits_for_a_region_holds_up_nobody_else(desk: Desk) -> None:
    far, near = route("us"), route("se")
    tiny = model(far, near)
    [_, taken] = await desk.fill(tiny)
    stuck = await desk.ask("stuck", tiny, key(1, "us"))
    free = await desk.ask("free", tiny, key())

    await taken.leave()
    assert (stuck.waits, free.waits) == (True, False)

    await free.leave()
    later = await desk.ask("later", tiny, key())
    assert not later.waits


async def test_models_that_share_a_backend_take_turns(desk: Desk) -> None:
    shared = route()
    one, other, acme = model(shared), model(shared), key()
    await desk.fill(one)
    for number in range(3):
        await desk.ask(f"one {number}", one, acme)
    for number in range(3):
        await desk.ask(f"other {number}", other, acme)

    await desk.empty()
    assert desk.placed == ["one 0", "other 0", "one 1", "other 1", "one 2", "other 2"]


async def test_room_that_comes_with_the_pulse_is_used(desk: Desk) -> None:
    tiny = model(route(room=3))
    desk.is_closed = True
    for name in ("first", "second", "third", "fourth"):
        await desk.ask(name, tiny, key())

    desk.is_closed = False
    for told in desk.fleet.on_room:
        told()
    await turn()
    assert desk.placed == ["first", "second", "third"]


async def test_an_organization_with_too_many_waiting_is_told_to_slow_down(desk: Desk) -> None:
    tiny, floods = model(route(), max_waiting=3), key()
    await desk.fill(tiny)
    for _ in range(3):
        await desk.ask("waits", tiny, floods)

    refused = await desk.ask("refused", tiny, floods)
    error = refused.error
    assert isinstance(error, SlowDown)
    assert 1 <= int(error.headers["Retry-After"]) <= 30
    assert (await desk.ask("another's", tiny, key())).waits


async def test_a_model_for_which_too_many_wait_has_no_capacity(desk: Desk) -> None:
    tiny = model(route(), max_waiting=1)
    await desk.fill(tiny)
    for _ in range(10):
        await desk.ask("waits", tiny, key())

    error = (await desk.ask("refused", tiny, key())).error
    assert isinstance(error, NoCapacity)
    assert "Retry-After" in error.headers


async def test_where_nobody_may_wait_a_full_backend_refuses_at_once(desk: Desk) -> None:
    tiny = model(route(), max_waiting=0)
    await desk.fill(tiny)

    assert isinstance((await desk.ask("refused", tiny, key())).error, NoCapacity)


async def test_who_waits_for_too_long_is_refused(desk: Desk) -> None:
    tiny = model(route(), queue_timeout_s=0.01)
    [taken] = await desk.fill(tiny)
    waits = await desk.ask("waits", tiny, key())

    with pytest.raises(NoCapacity) as refused:
        await waits.task
    assert "Retry-After" in refused.value.headers

    await taken.leave()
    assert desk.fleet.in_flight(taken.route.backend_id) == 0


async def test_who_waits_hears_that_the_last_backend_went_away(desk: Desk) -> None:
    tiny = model(route())
    [taken] = await desk.fill(tiny)
    waits = [await desk.ask("waits", tiny, key()) for _ in range(2)]

    desk.fault = RegionUnavailable()
    await taken.leave()
    assert [request.error for request in waits] == [desk.fault] * 2


async def test_a_client_that_leaves_loses_its_place(desk: Desk) -> None:
    tiny, acme = model(route()), key()
    [taken] = await desk.fill(tiny)
    leaves = await desk.ask("leaves", tiny, acme)
    await desk.ask("stays", tiny, acme)

    leaves.task.cancel()
    await turn()
    await taken.leave()
    assert desk.placed == ["stays"]


async def test_room_given_to_a_client_that_just_left_goes_to_the_next(desk: Desk) -> None:
    """It leaves before it knows, and the next one does not wait for another to leave."""
    here = route()
    tiny, acme = model(here), key()
    [taken] = await desk.fill(tiny)
    leaves = await desk.ask("leaves", tiny, acme)
    await desk.ask("stays", tiny, acme)

    taken.end()
    leaves.task.cancel()
    await turn()
    assert desk.placed == ["stays"]
    assert desk.fleet.in_flight(here.backend_id) == 1


async def test_a_client_that_leaves_as_its_turn_comes_takes_no_room(desk: Desk) -> None:
    here = route()
    tiny, acme = model(here), key()
    [taken] = await desk.fill(tiny)
    leaves = await desk.ask("leaves", tiny, acme)
    await desk.ask("stays", tiny, acme)

    leaves.task.cancel()
    taken.end()
    await turn()
    assert desk.placed == ["stays"]
    assert desk.fleet.in_flight(here.backend_id) == 1


async def test_an_error_for_a_client_that_just_left_is_nobodys(desk: Desk) -> None:
    """Or the loop complains of it; see `desk`."""
    tiny = model(route())
    [taken] = await desk.fill(tiny)
    leaves = await desk.ask("leaves", tiny, key())

    desk.fault = NoCapacity()
    taken.end()
    leaves.task.cancel()
    await turn()
    assert leaves.task.cancelled()


async def test_a_retry_goes_first_and_is_never_too_many(desk: Desk) -> None:
    tiny, acme = model(route(), max_waiting=1), key()
    [taken] = await desk.fill(tiny)
    await desk.ask("waits", tiny, acme)
    await desk.ask("again", tiny, acme, is_retry=True)

    await taken.leave()
    assert desk.placed == ["again"]


async def test_the_queue_tells_who_waits(desk: Desk) -> None:
    tiny, acme = model(route()), key(7)
    await desk.ask("runs", tiny, acme)
    for _ in range(2):
        await desk.ask("waits", tiny, acme)

    [row] = desk.waiting.seen()
    assert 0 <= row.oldest_s < PATIENT_S
    assert row == QueueSeen(tiny.public_id, acme.organization_id, 2, row.oldest_s, 1, 7)

    await desk.empty()
    assert desk.waiting.seen() == []


async def test_who_has_little_in_flight_beside_much_goes_first_into_a_full_engine(
    desk: Desk,
) -> None:
    roomy, floods, steady = model(route(room=20)), key(), key()
    for _ in range(8):
        await desk.ask("flood", roomy, floods)
    desk.is_closed = True
    more = await desk.ask("more", roomy, floods)
    for name in ("first", "second", "third"):
        await desk.ask(name, roomy, steady)

    assert (desk.placed[8:], more.waits) == (["first", "second"], True)


async def test_who_has_least_in_flight_for_its_share_has_priority(desk: Desk) -> None:
    roomy, small, large = model(route(room=20)), key(1), key(4)
    for _ in range(4):
        await desk.ask("runs", roomy, large)
    await desk.ask("runs", roomy, small)
    assert desk.waiting.priority(roomy, small) == desk.waiting.priority(roomy, large)

    await desk.ask("runs", roomy, small)
    assert desk.waiting.priority(roomy, small) > desk.waiting.priority(roomy, large)
    assert desk.waiting.priority(roomy, key()) == 0
