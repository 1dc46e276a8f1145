"""Who counts what may be spent when Valkey is lost: never both, never nobody for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.leases import leases_seen
from billing.models import Lease
from inference.gateway import leasing
from inference.gateway.errors import InsufficientQuota
from tests.inference.gateway.leased import CREDIT, Clock, FakeGateway, Scene

pytestmark = pytest.mark.django_db(transaction=True)

OPS: Final = (
    "ask", "ask", "ask", "ask", "settle", "settle", "void", "step", "step", "step", "tick",
    "tick", "drain", "book", "book, then die", "seed", "lose", "lose", "come back", "come back",
    "come back empty", "come back another", "cut", "heal", "crash", "adopt", "void in Valkey",
)  # fmt: skip


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.fixture
def make(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Scene]:
    """A new scene, whose gateways wait for each other for ever."""
    monkeypatch.setattr(leasing, "WAIT_S", 0)
    monkeypatch.setattr(leasing, "TAKE_S", 10)
    monkeypatch.setattr(leasing, "ATTACH_S", 10**9)

    def made() -> Scene:
        clock = Clock()
        monkeypatch.setattr(leasing, "monotonic", clock)
        return Scene(loop, clock)

    return made


@pytest.fixture
def scene(make: Callable[[], Scene]) -> Scene:
    return make()


def pass_time(scene: Scene, seconds: float = 3) -> None:
    """Let each gateway do what is due."""
    scene.clock.now += seconds
    for _ in range(2):
        for gateway in scene.gateways:
            scene.step(gateway)


def lose(scene: Scene) -> None:
    """Valkey, for so long that all have noticed."""
    scene.valkey.is_up = False
    pass_time(scene)


def spend(scene: Scene, gateway: FakeGateway, nano: int) -> bool:
    request = scene.ask(gateway, nano)
    if request:
        gateway.settle(request, nano)
    return request is not None


def test_while_valkey_is_there_no_lease_is_taken(scene: Scene) -> None:
    assert spend(scene, scene.gateways[0], 100)
    pass_time(scene)
    assert not Lease.objects.exists()


def test_both_gateways_spend_all_that_is_left(scene: Scene) -> None:
    one, other = scene.gateways
    assert spend(scene, one, 3000)
    assert scene.ask(other, 2000)  # it runs on
    lose(scene)
    while spend(scene, one, 100) | spend(scene, other, 100):
        pass_time(scene)
    assert CREDIT - 200 < scene.exposed_nano <= CREDIT
    scene.check_at_rest()


def test_who_has_nothing_left_is_told_so(scene: Scene) -> None:
    one = scene.gateways[0]
    lose(scene)
    assert spend(scene, one, CREDIT - 10)
    for nano in (11, 12):
        with pytest.raises(InsufficientQuota, match="credit"):
            scene.run(one.ask(nano))
    assert spend(scene, one, 10)


def test_what_a_request_did_not_cost_is_spent_by_the_next(scene: Scene) -> None:
    one = scene.gateways[0]
    begun = scene.ask(one, CREDIT)  # by Valkey
    assert begun
    lose(scene)
    one.settle(begun, 1000)
    assert spend(scene, one, CREDIT - 1000)
    assert not spend(scene, one, 1)


def test_without_a_lease_of_all_nobody_has_one(scene: Scene) -> None:
    """One that is cut off is not alone: the other spends by Valkey."""
    one, other = scene.gateways
    one.is_cut = True
    pass_time(scene)
    assert not spend(scene, one, 1)
    assert spend(scene, other, 100)
    one.is_cut = False
    pass_time(scene)
    assert spend(scene, one, 100)


def test_a_short_loss_changes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "GRACE_S", 61)
    scene.valkey.is_up = False
    pass_time(scene, 1)
    assert not spend(scene, scene.gateways[0], 1)
    scene.valkey.is_up = True
    assert spend(scene, scene.gateways[0], 1)
    assert leases_seen().spenders == 0


def test_another_run_of_valkey_waits_until_each_has_said_what_it_exposed(scene: Scene) -> None:
    one, other = scene.gateways
    assert scene.ask(other, CREDIT)
    scene.valkey.come_back(is_empty=True)
    assert not spend(scene, one, 1)  # also before it has looked around
    for _ in range(3):
        scene.step(one)
    assert not spend(scene, one, 1)
    pass_time(scene)
    assert not spend(scene, one, 1)
    scene.check_at_rest()


def test_a_gateway_that_died_with_its_disk_is_waited_for_in_vain(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = scene.gateways
    scene.crash(other, lambda bound: None)
    scene.valkey.come_back(is_empty=True)
    pass_time(scene)
    assert not spend(scene, one, 1)
    monkeypatch.setattr(leasing, "ATTACH_S", 10)
    pass_time(scene, 11)
    assert spend(scene, one, CREDIT)


def test_idle_credit_is_given_back(scene: Scene) -> None:
    one, other = scene.gateways
    lose(scene)
    assert spend(scene, one, 100)
    assert not spend(scene, other, CREDIT - 100)
    for _ in range(3):
        pass_time(scene)
    assert spend(scene, other, CREDIT - 100)


def test_leases_of_which_nothing_was_heard_for_long_are_not_spent_from(scene: Scene) -> None:
    one = scene.gateways[0]
    lose(scene)
    assert spend(scene, one, 100)
    scene.clock.now += leasing.TRUST_S + 1
    assert not spend(scene, one, 1)
    pass_time(scene)
    assert spend(scene, one, 1)


@settings(
    max_examples=20, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    plays=st.lists(
        st.tuples(st.sampled_from(OPS), st.integers(0, 1), st.integers(1, CREDIT // 3)),
        max_size=60,
    )
)
def test_no_more_is_spent_than_there_is_and_all_of_it_can_be(
    make: Callable[[], Scene], plays: list[tuple[str, int, int]]
) -> None:
    scene = make()
    for op, number, nano in plays:
        play(scene, op, scene.gateways[number], nano)
    scene.check_at_rest()


def play(scene: Scene, op: str, gateway: FakeGateway, nano: int) -> None:
    running = gateway.running[nano % len(gateway.running)] if gateway.running else None
    match op:
        case "ask":
            scene.ask(gateway, nano)
        case "settle" if running:
            gateway.settle(running, nano % (running.bound_nano + 1))
        case "void" if running:
            gateway.void(running)
        case "step":
            scene.step(gateway)
        case "tick":
            pass_time(scene, nano % 5)
        case "drain":
            gateway.drain()
        case "book":
            scene.book()
        case "book, then die":
            scene.book(is_told=False)
        case "seed" if scene.valkey.is_up:
            scene.seed_now([scene.acme])
        case "lose":
            scene.valkey.is_up = False
        case "come back":
            scene.valkey.is_up = True
        case "come back another":
            scene.valkey.come_back(is_empty=False)
        case "come back empty":
            scene.valkey.come_back(is_empty=True)
        case "cut":
            gateway.is_cut = True
        case "heal":
            gateway.is_cut = False
        case "crash":
            scene.crash(gateway, lambda bound: nano % (bound + 1) if nano % 2 else None)
        case "adopt":
            scene.adopt(gateway)
        case "void in Valkey":
            scene.flush_voids()
