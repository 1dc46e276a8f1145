"""What is done to the platform: at each step of a request, and to each of its processes.

The steps: 1 reserve in Valkey, 2 dispatch on disk, 3 the engine is asked, 4 progress on disk, 5 the
end on disk, 6 settle in Valkey, 7 the transaction in PostgreSQL, 8 post to Valkey, 9 the disk is
let go. A step is hit by freezing what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import Final
from unittest.mock import patch

from billing.holds import orphans, reap
from billing.models import UsageEvent
from tests.kills.load import LONG, SILENT
from tests.kills.scene import Scene, Span, Woken
from tests.kills.spools import pid_of
from tests.kills.world import Gateway

type Case = Callable[[Scene], None]

LEASE_S: Final = 10.0
GRACE_S: Final = 5.0
"""So long after Valkey went away those with a limit of money may be refused."""


# A gateway dies


def gateway_killed_while_it_reserves(scene: Scene) -> None:
    """1: Valkey may do what it was asked after whoever asked it is dead."""
    gateway = scene.gateway()
    with scene.harmed(gateway):
        with scene.frozen(scene.world.valkey):
            scene.pause(0.1, 0.4)
            gateway.crash()
        gateway.await_ready()


def gateway_killed_before_the_first_token(scene: Scene) -> None:
    """3: on disk and asked, and nothing was made of it yet."""
    gateway = scene.gateway()
    scene.ask(gateway, SILENT)
    scene.pause(0.4, 0.8)
    with scene.crashed(gateway):
        pass


def gateway_killed_within_streams(scene: Scene) -> None:
    """4: each second it is written down how far a stream is."""
    gateway = scene.gateway()
    long_streams_run(scene, gateway, tokens=150)
    scene.pause(0, 0.7)
    with scene.crashed(gateway):
        pass


def gateway_killed_before_it_settles(scene: Scene) -> None:
    """5 to 6: the client has its last byte, and Valkey knows nothing of it."""
    gateway = scene.gateway()
    with scene.harmed(gateway):
        with scene.frozen(scene.world.valkey):
            answers_end(scene, gateway)
            gateway.crash()
        gateway.await_ready()


def gateway_killed_while_valkey_is_away(scene: Scene) -> None:
    """6: what was settled is on its disk alone."""
    gateway = scene.gateway()
    with scene.away(scene.world.valkey):
        answers_end(scene, gateway)
        with scene.crashed(gateway):
            pass


def gateway_killed_while_it_spends_its_leases(scene: Scene) -> None:
    """Valkey comes back and knows nothing of any of it."""
    with scene.away(scene.world.valkey):
        scene.pause(3, 4)
        with scene.crashed(scene.gateway()):
            pass
        scene.pause(0.5, 1)
        scene.valkey_wipe()


def gateways_killed_all_at_once(scene: Scene) -> None:
    with ExitStack() as stack:
        for gateway in scene.world.gateways:
            stack.enter_context(scene.harmed(gateway))
        for gateway in scene.world.gateways:
            gateway.kill()
        for gateway in scene.world.gateways:
            gateway.begin()
        for gateway in scene.world.gateways:
            gateway.await_ready()


def gateway_frozen_past_its_lease(scene: Scene) -> None:
    """Others end its holds meanwhile, and it wakes up."""
    gateway = scene.gateway()
    long_streams_run(scene, gateway, tokens=40)
    with scene.harmed(gateway):
        froze_at = monotonic()
        with gateway.frozen():
            sleep(LEASE_S)
            holds_reap(scene, gateway)
            scene.pause(0.3, 1.0)
            woke_at = monotonic()
        scene.woken.append(Woken(gateway.url, Span(froze_at, woke_at)))
        gateway.await_ready()


def gateway_without_disk(scene: Scene) -> None:
    """2 and 5: what cannot be written down is not served."""
    gateway = scene.gateway()
    with scene.harmed(gateway):
        with gateway.without_disk():
            scene.pause(1, 2)
        scene.until(lambda: serves(scene, gateway), "its disk is back")


# Valkey


def valkey_killed(scene: Scene) -> None:
    with scene.away(scene.world.valkey):
        scene.pause(0.1, 1.5)


def valkey_away_for_long(scene: Scene) -> None:
    """Whoever has money is served from what the gateways set apart."""
    with scene.away(scene.world.valkey):
        began = monotonic()
        sleep(60 if scene.world.is_long else GRACE_S + 2)
        for kind in ("open", "credit"):
            scene.must_serve.append((kind, Span(began + GRACE_S, monotonic())))


def valkey_frozen(scene: Scene) -> None:
    with scene.frozen(scene.world.valkey):
        scene.pause(1.2, 2.5)


def valkey_loses_its_tail(scene: Scene) -> None:
    with scene.away(scene.world.valkey):
        scene.pause(0.1, 0.6)
        scene.valkey_cut()


def valkey_wiped(scene: Scene) -> None:
    with scene.away(scene.world.valkey):
        scene.pause(0.1, 0.6)
        scene.valkey_wipe()


def valkey_flushed(scene: Scene) -> None:
    """Empty from one moment to the next, and still the same run of it."""
    with scene.harmed(scene.world.valkey):
        scene.valkey_flush()


# PostgreSQL


def postgres_stopped(scene: Scene) -> None:
    with scene.stopped(scene.world.postgres):
        sleep(60 if scene.world.is_long else 2)
    scene.booked_again()


def postgres_killed(scene: Scene) -> None:
    with scene.away(scene.world.postgres):
        scene.pause(0.1, 1)


def postgres_frozen(scene: Scene) -> None:
    with scene.frozen(scene.world.postgres):
        scene.pause(1, 2)


# What books usage


def worker_killed_within_its_transaction(scene: Scene) -> None:
    """7: some of a batch is written, and nothing of it is committed."""
    with scene.booking_held(), scene.workers_away():
        pass


def worker_killed_between_commit_and_post(scene: Scene) -> None:
    """8: PostgreSQL has it, and Valkey is told again."""
    with valkey_frozen_after_commit(scene), scene.workers_away():
        pass


def worker_frozen_and_replaced(scene: Scene) -> None:
    """Two do the same, when it wakes up."""
    worker = scene.world.workers[0]
    other = scene.world.another_worker()
    try:
        with scene.frozen(worker):
            other.start()
            scene.pause(0.8, 1.6)
        scene.pause(0.3, 0.6)
    finally:
        other.kill()


# More than one


def valkey_killed_between_commit_and_post(scene: Scene) -> None:
    """8: it comes back as it was before it could be told."""
    with valkey_frozen_after_commit(scene), scene.away(scene.world.valkey):
        pass


def all_killed_at_once(scene: Scene) -> None:
    processes = scene.world.processes
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(scene.harmed(process))
        for process in processes:
            process.kill()
        scene.world.restore()


CASES: Final[tuple[Case, ...]] = (
    gateway_killed_while_it_reserves,
    gateway_killed_before_the_first_token,
    gateway_killed_within_streams,
    gateway_killed_before_it_settles,
    gateway_killed_while_valkey_is_away,
    gateway_frozen_past_its_lease,
    gateway_without_disk,
    valkey_killed,
    valkey_away_for_long,
    valkey_frozen,
    valkey_loses_its_tail,
    valkey_wiped,
    postgres_stopped,
    postgres_killed,
    postgres_frozen,
    worker_killed_within_its_transaction,
    worker_killed_between_commit_and_post,
    worker_frozen_and_replaced,
    valkey_killed_between_commit_and_post,
    all_killed_at_once,
    gateways_killed_all_at_once,
    gateway_killed_while_it_spends_its_leases,
    valkey_flushed,
)


def case_of(run: int) -> Case:
    """Runs one after another have one after another."""
    return CASES[(run - 1) % len(CASES)]


def long_streams_run(scene: Scene, gateway: Gateway, tokens: int) -> None:
    """One of them is so far."""
    scene.ask(gateway, LONG)
    far = lambda: any(  # noqa: E731
        one.wish is LONG and len(one.tokens_at) >= tokens for one in scene.load.running
    )
    scene.until(far, f"a stream has {tokens} tokens")


def answers_end(scene: Scene, gateway: Gateway) -> None:
    """Some that ran, or a while is over."""
    running = [one for one in scene.load.running if one.url == gateway.url]
    deadline = monotonic() + 0.6
    while monotonic() < deadline and not any(one.ended == "finished" for one in running):
        sleep(0.01)


def serves(scene: Scene, gateway: Gateway) -> bool:
    """Whether its last answers were no refusals."""
    key = scene.customer("open")
    ended = [
        a for a in scene.load.answers if a.url == gateway.url and a.customer is key and a.ended
    ]
    return bool(ended) and ended[-1].status == 200


def holds_reap(scene: Scene, gateway: Gateway) -> None:
    """As if a quarter of an hour was over: whoever made them must be dead. What it settles after
    all when it wakes up may be money that others have spent by then.
    """
    pids = gateway.pids
    with patch("billing.holds.orphans.ORPHAN_S", 0):
        held = [one for one in orphans() if pid_of(one.gateway) in pids]
    reap(held, {one.id: None for one in held})
    for one in held:
        scene.may_exceed[one.organization_id] += one.amount_nano


@contextmanager
def valkey_frozen_after_commit(scene: Scene) -> Iterator[None]:
    """PostgreSQL has a batch whose worker waits for Valkey."""
    with ExitStack() as stack:
        with scene.booking_held():
            before = UsageEvent.objects.count()
            stack.enter_context(scene.frozen(scene.world.valkey))
        scene.until(lambda: UsageEvent.objects.count() > before, "a batch is committed")
        yield
