"""One seed: requests and faults in an order that the seed decides, and what must hold after it."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import time_machine

from billing.holds import Granted, Hold, Unknown, orphans, reap, scopes_state
from billing.ingest import ingest
from billing.models import Outcome, Spender
from billing.seeding import accounts_seed
from inference.engines import Usage
from inference.gateway import leasing
from tenants.valkey import client
from tests.simulation.checks import Broken, Checks, require
from tests.simulation.gateway import Gateway, Loop, Stores, lease_drop
from tests.simulation.world import (
    START,
    Pricing,
    Request,
    Tenant,
    tenants_make,
    uuid_of,
)

REQUESTS: Final = 60
GATEWAYS: Final = 2
AGES: Final = ("ORPHAN_S", "UNREACHABLE_S", "LONGEST_S")
PATIENCE: Final[dict[str, Any]] = {"WAIT_S": 0, "TAKE_S": 10, "ATTACH_S": 10**9}
"""Of a gateway: with other gateways all that it takes, and none with requests."""
ENDINGS: Final = (
    Outcome.COMPLETED, Outcome.COMPLETED, Outcome.COMPLETED, Outcome.CLIENT_DISCONNECT,
    Outcome.UPSTREAM_ERROR, Outcome.TIMEOUT,
)  # fmt: skip


class Crashed(Exception):  # noqa: N818
    """A worker dies here."""


@dataclass
class Report:
    """What a seed did, and `breaks`: what did not hold. `leased` requests began without Valkey."""

    seed: int
    requests: int = 0
    leased: int = 0
    faults: int = 0
    breaks: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)


class Simulation:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - to be repeated
        self.report = Report(seed)
        self._now = START
        self._root = Path(tempfile.mkdtemp(prefix="sluice-simulation-"))
        self._loop, self._pricing = Loop(), Pricing()
        self._requests: list[Request] = []
        self._gateways: list[Gateway] = []
        self._frozen: list[Gateway] = []
        self._born = 0
        self._old_state: dict[Any, Any] = {}
        self._stores, self._ticks = Stores(), 0
        self._lost_nano: Counter[UUID] = Counter()

    def run(self) -> Report:
        """All of it, with a clock that only the seed moves."""
        client().flushdb()
        Spender.objects.all().delete()
        with ExitStack() as stack:
            self._clock = stack.enter_context(time_machine.travel(self._now, tick=False))
            stack.enter_context(patch.multiple(leasing, **PATIENCE, monotonic=lambda: self._ticks))
            try:
                self._tenants = tenants_make(self.random)
                self._checks = Checks(self._tenants, self._requests, self._lost_nano)
                for _ in range(GATEWAYS):
                    self._gateway_add()
                self._gateways_step(times=3)
                while len(self._requests) < REQUESTS or self._running():
                    self._step()
                self._settle_down()
                self._checks.at_rest()
                for tenant in self._tenants:
                    self._spend_the_rest(tenant)
            except Broken as broken:
                self.report.breaks.append(f"seed {self.report.seed}: {broken}")
            finally:
                self._stop()
        self.report.requests = len(self._requests)
        return self.report

    # The steps

    def _step(self) -> None:
        self._pass_time(self.random.randint(0, 4000))
        if self.random.random() < 0.5:
            self._gateways_step()
        steps: list[tuple[int, Callable[[], None]]] = [
            (30 if len(self._requests) < REQUESTS else 0, self._request),
            (30, self._progress),
            (24, self._end),
            (30, self._deliver),
            (6, self._ingest),
            (3, self._seed),
            (2, self._reap),
            (2, self._redeliver),
            (7, self._fault),
        ]
        weights, acts = zip(*steps, strict=True)
        self.random.choices(acts, weights)[0]()

    def _request(self) -> None:
        """Reserve, write it down, and ask an engine."""
        gateway = self.random.choice(self._gateways)
        request = self._request_make(self.random.choice(self._tenants))
        self._requests.append(request)
        answer = gateway.reserve(request)
        is_lost = gateway.leasing.epoch and self.random.random() < 0.1
        if is_lost:  # the answer, and it is asked again
            self._note("reserve again")
            answer = gateway.reserve(request)
        if isinstance(answer, Unknown) and not self._stores.is_postgres_away:
            accounts_seed([request.tenant.id])
            answer = gateway.reserve(request)
            require(not isinstance(answer, Unknown), f"after a seed {answer}")
        if not isinstance(answer, Granted):
            request.is_over = True
            return
        self.report.leased += bool(request.scopes and not gateway.leasing.epoch)
        request.is_granted = True
        self._checks.granted(request)
        gateway.dispatch(request, self._now)
        if self.random.random() < 0.06:
            gateway.void(request)

    def _request_make(self, tenant: Tenant) -> Request:
        random = self.random
        input_tokens = random.randint(1, 2000)
        output = random.randint(0, 1500)
        usage = Usage(input_tokens, random.randint(0, input_tokens), output)
        most = Usage(input_tokens + random.randint(0, 300), 0, output + random.randint(0, 500))
        return Request(
            id=uuid_of(random), tenant=tenant, key=random.choice(tenant.keys),
            admitted_at=self._now, usage=usage, outcome=random.choice(ENDINGS),
            bound_nano=self._pricing.nano(most), scopes=tenant.scopes(self._now),
        )  # fmt: skip

    def _progress(self) -> None:
        if found := self._one_running():
            gateway, request = found
            done = request.seen.output_tokens if request.seen else 0
            output = self.random.randint(done, request.usage.output_tokens)
            usage = request.usage._replace(output_tokens=output)
            gateway.progress(request, usage, self._now)

    def _end(self) -> None:
        if found := self._one_running():
            gateway, request = found
            usage = request.usage
            if request.outcome is Outcome.CLIENT_DISCONNECT:
                usage = request.seen or Usage(0, 0, 0)
            gateway.end(request, usage, request.outcome, self._now)

    def _deliver(self) -> None:
        """In any order, at times twice."""
        gateway = self.random.choice(self._gateways)
        if gateway.unsent:
            settled = gateway.unsent[self.random.randrange(len(gateway.unsent))]
            if gateway.deliver(settled) and self.random.random() < 0.8:
                gateway.unsent.remove(settled)
            else:
                self._note("settle again")

    def _ingest(self) -> None:
        if self._are_stores_there:
            ingest(self.random.randint(1, 40))

    def _seed(self) -> None:
        if self._are_stores_there:
            accounts_seed([self.random.choice(self._tenants).id])

    def _reap(self) -> None:
        """Orphans whose gateway left nothing to read are void after a time."""
        self._adopt()
        if self._stores.is_valkey_away:
            return
        for gateway in self._frozen:
            unsent = {settled.request_id for settled in gateway.unsent}
            self._may_overshoot(gateway.running)
            self._may_overshoot(one for one in self._requests if one.id in unsent)
        dead = {one.id for one in self._frozen}
        self._reap_all(lambda hold: hold.gateway in dead)

    def _reap_all(self, is_meant: Callable[[Hold], bool]) -> None:
        """As after the hour that no request outlives."""
        ages = {f"billing.holds.orphans.{name}": 0 for name in AGES}
        with ExitStack() as stack:
            for name, age_s in ages.items():
                stack.enter_context(patch(name, age_s))
            reap([hold for hold in orphans() if is_meant(hold)], {})

    def _redeliver(self) -> None:
        gateway = self.random.choice(self._gateways)
        gateway.deliver_all()
        self._adopt()

    # The faults

    def _fault(self) -> None:
        self.report.faults += 1
        self.random.choice(
            (
                self._kill, self._kill, self._cut_power, self._freeze, self._thaw,
                self._crash_in_booking, self._crash_after_commit, self._crash_within_posting,
                self._wipe, self._remember, self._lose_tail, self._postgres_goes,
                self._postgres_comes, self._clock_jumps, self._slow_epoch,
                self._valkey_goes, self._valkey_goes, self._valkey_comes, self._valkey_comes,
            )
        )()  # fmt: skip

    def _kill(self) -> None:
        self._die(loses_power=False)

    def _cut_power(self) -> None:
        self._die(loses_power=True)

    def _die(self, *, loses_power: bool) -> None:
        gateway = self.random.choice(self._gateways)
        self._note(f"{gateway.id} dies, power lost: {loses_power}")
        self._gateways.remove(gateway)
        gateway.die(self.random, loses_power=loses_power)
        lease_drop(gateway.id)
        for request in gateway.running:
            request.is_over, request.is_left = True, not loses_power
        self._gateway_add()

    def _freeze(self) -> None:
        """Stopped, not dead: others end its holds, and then it wakes up."""
        if len(self._gateways) > 1:
            gateway = self._gateways.pop(self.random.randrange(len(self._gateways)))
            self._note(f"{gateway.id} freezes")
            self._frozen.append(gateway)
            lease_drop(gateway.id)

    def _thaw(self) -> None:
        """It finds that its lease is over, and cuts what it runs."""
        if self._frozen:
            gateway = self._frozen.pop(0)
            self._note(f"{gateway.id} wakes up")
            for request in list(gateway.running):
                gateway.end(
                    request, request.seen or Usage(0, 0, 0), Outcome.CLIENT_DISCONNECT, self._now
                )
            gateway.beat()
            self._gateways.append(gateway)

    def _crash_in_booking(self) -> None:
        self._crash("billing.ingest.rollups.backends_grow")

    def _crash_after_commit(self) -> None:
        self._crash("billing.ingest.finish")

    def _crash_within_posting(self) -> None:
        self._crash("billing.ingest.posting.post_many", runs=True)

    def _crash(self, where: str, *, runs: bool = False) -> None:
        """A worker dies at `where`; if it `runs`, after that step and before the next."""
        module, _, name = where.rpartition(".")
        step = getattr(import_module(module), name)

        def crash(*args: Any) -> None:
            if runs:
                step(*args)
            raise Crashed

        if self._are_stores_there:
            self._note(f"a worker dies at {where}")
            with patch(where, crash), suppress(Crashed):
                ingest(self.random.randint(1, 40))

    def _wipe(self) -> None:
        self._note("Valkey is wiped")
        self._stores.run += 1
        client().flushdb()

    def _remember(self) -> None:
        """What the disk of Valkey has from now on."""
        keys = client().keys("*")
        self._old_state = {key: value for key in keys if (value := client().dump(key))}

    def _lose_tail(self) -> None:
        """Valkey starts again from what its disk had: another epoch."""
        self._note("Valkey loses its tail")
        self._stores.run += 1
        client().flushdb()
        for key, value in self._old_state.items():
            client().restore(key, 0, value)
        for key in client().keys("*acct:*"):
            client().hset(key, "e", "another")
        for gateway in self._frozen:
            lease_drop(gateway.id)
        for gateway in self._gateways:
            gateway.beat()

    def _valkey_goes(self) -> None:
        self._note("Valkey is away")
        self._stores.is_valkey_away = True

    def _valkey_comes(self) -> None:
        self._note("Valkey is back")
        self._stores.is_valkey_away = False

    def _slow_epoch(self) -> None:
        for key in client().keys("*acct:*"):
            client().hset(key, "e", "another")

    def _postgres_goes(self) -> None:
        self._stores.is_postgres_away = True

    def _postgres_comes(self) -> None:
        self._stores.is_postgres_away = False

    def _clock_jumps(self) -> None:
        self._note("the clock jumps")
        self._pass_time(self.random.randint(-600_000, 600_000))

    def _may_overshoot(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._lost_nano[request.tenant.id] += max(request.bound_nano, request.promised or 0)

    def _settle_down(self) -> None:
        """All is well again, and everything is brought to its end."""
        self._stores.is_postgres_away = self._stores.is_valkey_away = False
        while self._frozen:
            self._thaw()
        for gateway in self._gateways:
            gateway.beat()
            gateway.adopt()
            for settled in gateway.unsent:
                gateway.deliver(settled)
        self._gateways_step(times=12)
        while ingest():
            pass
        for gateway in self._gateways:
            gateway.deliver_all()
        while ingest():
            pass
        self._reap_all(lambda _: True)
        accounts_seed([tenant.id for tenant in self._tenants])

    def _spend_the_rest(self, tenant: Tenant) -> None:
        """All that is left can be spent, and not a nano more."""
        states, scopes = scopes_state(tenant.id), tenant.scopes(self._now)
        if not scopes:
            return
        left = min(states[scope].balance for scope in scopes)
        for nano, is_fine in ((left, left >= 0), (left + 1, False)):
            request = self._request_make(tenant)
            request.bound_nano = max(nano, 0)
            answer = self._gateways[0].reserve(request)
            require(isinstance(answer, Granted) == is_fine, f"{nano} of {left}: {answer}")
            self._gateways[0].void(request)

    # Small things

    def _note(self, what: str) -> None:
        self.report.story.append(f"{self._now:%H:%M:%S} {what}")

    def _gateway_add(self) -> None:
        self._born += 1
        name = f"gateway-{self._born}"
        self._gateways.append(Gateway(name, self._root, self._loop, self._pricing, self._stores))

    @property
    def _are_stores_there(self) -> bool:
        return not (self._stores.is_postgres_away or self._stores.is_valkey_away)

    def _gateways_step(self, times: int = 1) -> None:
        for _ in range(times):
            self._ticks += 2
            for gateway in self._gateways:
                gateway.void_waiting()
                gateway.step()

    def _pass_time(self, milliseconds: int) -> None:
        self._now += timedelta(milliseconds=milliseconds)
        self._clock.move_to(self._now, tick=False)

    def _adopt(self) -> None:
        self.random.choice(self._gateways).adopt()

    def _running(self) -> bool:
        return any(gateway.running for gateway in self._gateways)

    def _one_running(self) -> tuple[Gateway, Request] | None:
        found = [(one, request) for one in self._gateways for request in one.running]
        return self.random.choice(found) if found else None

    def _stop(self) -> None:
        for gateway in (*self._gateways, *self._frozen):
            gateway.stop()
        self._loop.close()
        shutil.rmtree(self._root, ignore_errors=True)
