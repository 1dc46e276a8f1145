"""One gateway process: what lives from its start to its stop."""

from __future__ import annotations

import gc
from collections import defaultdict
from uuid import UUID

import redis.asyncio

from inference.gateway.drain import Drain
from inference.gateway.figures import LiveFigures
from inference.gateway.fleet import Fleet
from inference.gateway.gauges import Gauges
from inference.gateway.keeper import SnapshotKeeper
from inference.gateway.metering import Metering, metering_made
from inference.gateway.prober import Prober
from inference.gateway.pulse import Pulse, gateway_id
from inference.gateway.routing import Router
from inference.gateway.upstream import Upstream
from inference.gateway.vigil import Vigil
from inference.gateway.waiting import Waiting
from inference.routing.budget import RetryBudget
from inference.snapshot import Snapshot
from tenants.valkey import async_client


class Gateway:
    """Its parts, started and stopped in order."""

    drain: Drain
    gauges: Gauges
    fleet: Fleet
    router: Router
    waiting: Waiting
    keeper: SnapshotKeeper
    upstream: Upstream
    metering: Metering
    vigil: Vigil
    figures: LiveFigures
    pulse: Pulse
    prober: Prober
    _budgets: defaultdict[str, RetryBudget]
    _valkey: redis.asyncio.Redis

    def retry_budget(self, model: str) -> RetryBudget:
        """Of all requests for `model` in this process."""
        return self._budgets[model]

    async def start(self) -> None:
        self.drain, self.gauges = Drain(), Gauges(self)
        self._valkey = async_client()
        self._budgets = defaultdict[str, RetryBudget](RetryBudget)
        self.fleet = Fleet()
        self.router = Router(self.fleet)
        self.waiting = Waiting(self.fleet)
        self.keeper = SnapshotKeeper(self._valkey, self._cut_revoked)
        self.upstream = Upstream()
        self.figures = LiveFigures(self._valkey)
        name, heard = gateway_id(), self.keeper.hear
        self.metering = metering_made(self._valkey, name, self.figures, self.keeper)
        self.vigil = Vigil(self.drain.lifelines)
        self.pulse = Pulse(self._valkey, self.fleet, self.waiting.seen, heard, name)
        self.prober = Prober(self._valkey, self.fleet, self.keeper, self.pulse, name)
        self.fleet.on_lost = self._abandon
        await self.upstream.start()
        self.vigil.start()
        self.figures.start()
        self.keeper.start()
        self.pulse.start()
        self.prober.start()
        self.drain.start()
        await self.keeper.first_load()  # of several processes none takes requests before it can
        await self.metering.start()  # what a dead process left is priced by the snapshot
        self.gauges.start()
        gc.freeze()  # what was loaded by now stays; to look at it again stalls every stream

    async def stop(self) -> None:
        """Stop taking in, then deliver what is left."""
        await self.prober.stop()
        await self.pulse.stop()
        await self.keeper.stop()
        await self.upstream.stop()
        self.vigil.stop()
        await self.metering.stop()
        await self.figures.stop()
        self.gauges.stop()
        await self._valkey.aclose()

    def _cut_revoked(self, snapshot: Snapshot) -> None:
        """End the requests that run with a key that is good no more."""
        for lifeline in tuple(self.drain.lifelines):
            if lifeline.key and snapshot.has_revoked(lifeline.key):
                lifeline.revoke()

    def _abandon(self, backend_id: UUID) -> None:
        """Whoever waits there for an answer to begin is to ask elsewhere."""
        models = self.keeper.snapshot.models.values()
        routes = (route for model in models for route in model.routes)
        for base_url in {route.base_url for route in routes if route.backend_id == backend_id}:
            self.upstream.abandon(base_url)
