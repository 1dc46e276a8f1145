"""What is done to those who close a month: at each step of it, and at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from time import sleep
from typing import Final

from tests.kills.closes.steps import STEPS, Step, held, is_at
from tests.kills.closes.usage import Customer
from tests.kills.closes.worker import LEASE
from tests.kills.closes.world import World
from tests.kills.processes import Process, wait_until

AT_STEP_S: Final = 120
MOST_AT_RANDOM: Final = 4


@dataclass
class Scene:
    """One run as its case sees it; `kills` counts what was killed or frozen."""

    world: World
    customers: Sequence[Customer]
    random: Random
    is_over: Callable[[], bool]
    kills: int = 0

    def pause(self, least_s: float, most_s: float) -> None:
        sleep(self.random.uniform(least_s, most_s))

    def kill(self, *processes: Process) -> None:
        for process in processes:
            process.kill()
        self.kills += len(processes)

    def freeze(self, stack: ExitStack, process: Process) -> None:
        stack.enter_context(process.frozen())
        self.kills += 1

    def again(self) -> None:
        """Whatever was killed runs; the database is asked anew."""
        self.world.restore()
        self.world.connect()

    def somebody(self, step: Step) -> Customer:
        """One whose invoice comes by the step."""
        found = [one for one in self.customers if one.is_pushed or not step.is_stripes]
        return self.random.choice(found)

    def stop_at(self, stack: ExitStack, step: Step) -> None:
        """The workers run, until one of them stands at the step."""
        db = self.world.db
        stack.enter_context(held(db, step, self.somebody(step).organization.pk))
        self.world.go()
        wait_until(lambda: is_at(db, step), f"somebody is where {step.name}", AT_STEP_S)


type Case = Callable[[Scene], None]


def killed_at(step: Step, scene: Scene) -> None:
    """Somebody is killed while the step is half done, and perhaps more than one."""
    world = scene.world
    first, second = scene.random.sample(world.workers, 2)
    victims: list[Process] = scene.random.choice([
        [first, second], [first], [world.postgres], [world.stripe, first, second],
        world.processes,
    ])  # fmt: skip
    with ExitStack() as stack:
        scene.stop_at(stack, step)
        scene.pause(0, 0.2)
        scene.kill(*victims)
    scene.pause(0, 0.3)
    scene.again()


def worker_frozen_past_its_lease(scene: Scene) -> None:
    """Another does meanwhile what it has in hand, and it wakes up."""
    with ExitStack() as frozen:
        with ExitStack() as stack:
            step = scene.random.choice([one for one in STEPS if one.is_stripes])
            scene.stop_at(stack, step)
            scene.freeze(frozen, scene.random.choice(scene.world.workers))
        sleep(LEASE.total_seconds())
        scene.pause(0.2, 1)


def stripe_killed_within_a_call(scene: Scene) -> None:
    """It has the request, or will never have it: whoever asked cannot know."""
    with ExitStack() as frozen:
        with ExitStack() as stack:
            scene.stop_at(stack, STEPS[6])
            scene.freeze(frozen, scene.world.stripe)
        scene.pause(0.2, 0.5)
        scene.kill(scene.world.stripe)
    scene.pause(0, 0.5)
    scene.again()


def stripe_away_all_the_while(scene: Scene) -> None:
    """Months are closed without it, and pushed when it is back."""
    scene.kill(scene.world.stripe)
    scene.world.go()
    scene.pause(1.5, 3)
    scene.again()


def valkey_killed(scene: Scene) -> None:
    scene.world.go()
    scene.pause(0, 1)
    scene.kill(scene.world.valkey)
    scene.pause(0, 0.5)
    scene.again()


def all_killed_at_once(scene: Scene) -> None:
    scene.world.go()
    scene.pause(0.2, 2)
    scene.kill(*scene.world.processes)
    scene.again()


CASES: Final[tuple[tuple[str, Case], ...]] = (
    *((f"killed where {step.name}", partial(killed_at, step)) for step in reversed(STEPS)),
    *(
        (case.__name__.replace("_", " "), case)
        for case in (
            worker_frozen_past_its_lease, stripe_killed_within_a_call, stripe_away_all_the_while,
            valkey_killed, all_killed_at_once,
        )
    ),
)  # fmt: skip
"""From the last step to the first."""


def case_of(run: int) -> tuple[str, Case]:
    """Runs one after another have one after another."""
    return CASES[(run - 1) % len(CASES)]


def kill_at_random(scene: Scene) -> None:
    """A few more, at any moments, while anything is left to do."""
    for _kill in range(scene.random.randint(1, MOST_AT_RANDOM)):
        scene.pause(0.05, 1)
        if scene.is_over():
            return
        world = scene.world
        victim = scene.random.choice([world.postgres, world.stripe, *world.workers])
        scene.kill(victim)
        scene.pause(0, 0.3)
        scene.again()
