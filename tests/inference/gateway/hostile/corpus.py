"""All hostile requests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from inference.gateway.endpoints import ENDPOINTS
from tests.inference.gateway.hostile import bodies, fields, forms, heads, images, limits, wire
from tests.inference.gateway.hostile.case import Case


def corpus() -> list[Case]:
    """Each under a name of its own."""
    written = (part.cases() for part in (bodies, heads, images, limits, wire))
    cases = {case.name: case for case in chain(_generated(), *written)}
    return list(cases.values())


def _generated() -> Iterator[Case]:
    """What follows from the table of endpoints."""
    for path, row in ENDPOINTS.items():
        make = forms.cases if path in forms.FORMS else fields.cases
        yield from make(path, row.body)
