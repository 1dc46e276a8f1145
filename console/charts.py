"""What console/static/console/charts.js draws, and which colour a category has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from django.utils.translation import gettext as _

from billing.written import sign_of
from console.currencies import shown_currency

type Unit = Literal["count", "money", "ms", "percent"]

SLOTS: Final = 5
"""Categories that have a colour of their own, 1 to 5."""
OTHER: Final = 6
"""The colour of "other"."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one part of a stack: a value for each moment, None where nothing is known.

    What is foreseen, and a limit, are dashed.
    """

    label: str
    slot: int
    values: Sequence[int | float | Decimal | None]
    is_dashed: bool = False


def bars(
    moments: Sequence[datetime],
    series: Sequence[Series],
    *,
    step: timedelta,
    unit: Unit = "count",
) -> dict[str, Any]:
    """Stacked bars, one a moment, the first series at the bottom."""
    return _spec(moments, series, step, unit) | {"stack": True, "total": _("Total")}


def lines(
    moments: Sequence[datetime],
    series: Sequence[Series],
    *,
    step: timedelta,
    unit: Unit = "count",
) -> dict[str, Any]:
    return _spec(moments, series, step, unit)


def _spec(
    moments: Sequence[datetime], series: Sequence[Series], step: timedelta, unit: Unit
) -> dict[str, Any]:
    return {
        "x": [int(moment.timestamp()) for moment in moments],
        "step": int(step.total_seconds()),
        "hours": step < timedelta(days=1),
        "unit": unit,
        "sign": sign_of(shown_currency()),
        "series": [
            {
                "label": one.label,
                "color": f"--c{one.slot}",
                "data": list(one.values),
                "dash": one.is_dashed,
            }
            for one in series
        ],
    }


def color_slots(shown: Sequence[str], catalogue: Sequence[str]) -> dict[str, int]:
    """The slot of each of `shown`, at most `SLOTS` of them.

    A category keeps its place in `catalogue` as its colour wherever it is shown; two that would
    share one are told apart by giving the later the next that is free.
    """
    slots: dict[str, int] = {}
    places = {name: at for at, name in enumerate(catalogue)}
    for name in sorted(shown, key=lambda name: places.get(name, len(places))):
        start = places.get(name, 0)
        free = (1 + (start + ahead) % SLOTS for ahead in range(SLOTS))
        slots[name] = next((slot for slot in free if slot not in slots.values()), OTHER)
    return slots
