"""The health of metering for Prometheus, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, override

from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from billing.health import MeteringHealth, metering_health

_HELP: Final = {
    "lag_seconds": "How long the oldest usage record waits to be booked.",
    "records_waiting": "Usage records that wait to be booked.",
    "records_set_aside": "Usage records that could not be booked.",
    "models_halted": "Models that were used without a price, and are not served.",
    "holds_open": "Requests whose money is held.",
    "holds_orphaned": "Holds whose gateway is gone.",
    "leases_open": "Organizations of which gateways have set credit apart, without Valkey.",
    "drifts": "Sums and counts that do not equal what they should.",
    "books_differences": "Balances that differ from their transfers, at the last check.",
}


class MeteringCollector(Collector):
    """Without one of the stores it says nothing of what that store knows."""

    def describe(self) -> Sequence[GaugeMetricFamily]:
        """So that it is not asked when it is registered."""
        return [GaugeMetricFamily(_name(name), text) for name, text in _HELP.items()]

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            values = _values(metering_health())
        except DatabaseError:
            return
        for name, value in values.items():
            yield GaugeMetricFamily(_name(name), _HELP[name], value)


def _values(health: MeteringHealth) -> dict[str, float]:
    known: dict[str, float] = {
        "models_halted": len(health.halts),
        "drifts": len(health.drifts),
        "leases_open": health.leases.organizations,
    }
    if health.holds:
        known |= {
            "lag_seconds": health.lag_s,
            "records_waiting": health.waiting,
            "records_set_aside": health.set_aside,
            "holds_open": health.holds.open,
            "holds_orphaned": health.holds.orphans,
        }
    if health.books:
        known["books_differences"] = health.books.differences
    return known


def _name(name: str) -> str:
    return f"sluice_metering_{name}"
