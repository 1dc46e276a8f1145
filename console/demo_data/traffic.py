"""The requests of the demo data: made by PostgreSQL itself, a day at a time, and their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from django.db import connection
from django.db.backends.utils import CursorWrapper

from billing.models import Component
from billing.partitions import Month, partitions_make
from billing.pricing import PriceHistory, Prices
from console.demo_data import fleet
from console.demo_data.cast import KeyPlan
from console.demo_data.fleet import PLACES, Offer
from inference.models import Task

FOLDER: Final = Path(__file__).parent
DAY: Final = timedelta(days=1)
HOURS: Final = (2, 1, 1, 1, 2, 3, 5, 7, 9, 9, 8, 7, 8, 9, 8, 7, 5, 4, 3, 3, 3, 3, 3, 2)
"""How much is asked in each hour of a day (UTC) beside the others."""
WEEKEND: Final = 0.4
GROWTH: Final = 0.8
"""How much more is asked at the end than at the beginning."""

SATURDAY: Final = 5
NAMESPACE: Final = UUID("6f8ac0de-37f2-4b8f-9c07-6f1f3a3b8d10")

type Say = Callable[[str], None]

_TABLES: Final = """
CREATE TEMP TABLE demo_key (
    at int, api_key_id uuid, organization_id uuid, project_id uuid, models int[],
    stream_share float, cache_share float
) ON COMMIT DROP;
CREATE TEMP TABLE demo_place (place_at int, backend text, region text) ON COMMIT DROP;
CREATE TEMP TABLE demo_model (
    model_at int, model text, endpoint text, places int[], context_tokens int, is_audio bool,
    input_median int, output_median int, ms_per_token int, input_price numeric,
    cached_input_price numeric, output_price numeric, audio_second_price numeric
) ON COMMIT DROP;
CREATE TEMP TABLE demo_event (
    organization_id uuid, request_id uuid, client_request_id text, project_id uuid,
    api_key_id uuid, model text, backend text, region text, endpoint text, streamed bool,
    outcome text, admitted_at timestamptz, occurred_at timestamptz, ttft_ms int, duration_ms int,
    queued_ms int, attempts int, batch_id uuid, input_tokens bigint, cached_tokens bigint,
    output_tokens bigint, audio_seconds bigint, input numeric, cached_input numeric,
    output numeric, audio_second numeric
) ON COMMIT DROP;
"""
_COLUMNS: Final = (
    "organization_id, request_id, client_request_id, project_id, api_key_id, model, backend,"
    " region, endpoint, streamed, outcome, admitted_at, occurred_at, ttft_ms, duration_ms,"
    " queued_ms, attempts, batch_id, input_tokens, cached_tokens, output_tokens, audio_seconds"
)
_TRAFFIC: Final = (FOLDER / "traffic.sql").read_text()
_MODEL: Final = f"INSERT INTO demo_model VALUES ({', '.join(['%s'] * 13)})"  # noqa: S608
_BOOK: Final = f"""
INSERT INTO billing_usageevent ({_COLUMNS}, amount, currency)
SELECT {_COLUMNS}, input + cached_input + output + audio_second, 'EUR'
FROM demo_event ORDER BY occurred_at;

INSERT INTO billing_usageeventid (organization_id, request_id)
SELECT organization_id, request_id FROM demo_event ORDER BY 1, 2
"""  # noqa: S608 - the names are constants of this module
_COSTS: Final = """
SELECT organization_id, sum(input), sum(cached_input), sum(output), sum(audio_second)
FROM demo_event GROUP BY 1
"""


class Day(NamedTuple):
    """`hours` holds each as often as it is chosen, `weight` is its share beside other days."""

    start: datetime
    hours: list[int]
    weight: float


class Batch(NamedTuple):
    """What the requests of a day cost: EUR by organization and component."""

    id: UUID
    moment: datetime
    costs: Mapping[UUID, Mapping[Component, Decimal]]


class Traffic:
    """`events` requests from `since` to `until`, whole hours, shared by the weights of `plans`.

    Of one transaction: it keeps what it needs in temporary tables.
    """

    def __init__(
        self, plans: Sequence[KeyPlan], offers: Sequence[Offer], events: int, seed: int
    ) -> None:
        self._plans, self._offers, self._events, self._seed = plans, offers, events, seed

    def make(self, since: datetime, until: datetime, say: Say) -> list[Batch]:
        days = list(_days(since, until))
        batches, made = [], 0
        partitions_make(Month(one) for one in range(Month.of(since), Month.of(until) + 1))
        with connection.cursor() as cursor:
            cursor.execute(_TABLES)
            self._key_rows(cursor)
            for day, counts in zip(days, self._counts([day.weight for day in days]), strict=True):
                batches.append(self._day(cursor, day, counts))
                made += sum(counts)
                say(f"{day.start:%-d %B}: {made:,} requests")
        return batches

    def _counts(self, weights: Sequence[float]) -> Iterator[list[int]]:
        """The requests of each key in each day; all together `events`."""
        whole = sum(weights) * sum(plan.weight for plan in self._plans)
        passed, made = 0.0, 0
        for weight in weights:
            counts = []
            for plan in self._plans:
                passed += weight * plan.weight
                so_far = round(self._events * passed / whole)
                counts.append(so_far - made)
                made = so_far
            yield counts

    def _key_rows(self, cursor: CursorWrapper) -> None:
        with cursor.copy("COPY demo_key FROM STDIN") as copy:
            for at, plan in enumerate(self._plans, start=1):
                copy.write_row((
                    at, plan.id, plan.organization_id, plan.project_id, plan.models,
                    plan.stream_share, plan.cache_share,
                ))  # fmt: skip
        rows = [(at, fleet.backend_name(code), code) for at, (code, *_rest) in enumerate(PLACES)]
        cursor.executemany("INSERT INTO demo_place VALUES (%s, %s, %s)", rows)
        cursor.execute("ANALYZE demo_key; ANALYZE demo_place")

    def _day(self, cursor: CursorWrapper, day: Day, counts: list[int]) -> Batch:
        """Each day begins with a seed of its own, so that it is the same by itself."""
        name = f"{self._seed} {day.start}"
        batch = uuid5(NAMESPACE, name)
        self._model_rows(cursor, day.start)
        cursor.execute("TRUNCATE demo_event")
        cursor.execute("SELECT setseed(%s)", [_seed_of(name)])
        cursor.execute(_TRAFFIC, {
            "day": day.start,
            "hours": day.hours,
            "choices": len(day.hours),
            "counts": counts,
            "batch": batch,
        })  # fmt: skip
        cursor.execute(_BOOK)
        cursor.execute(_COSTS)
        costs = {pk: dict(zip(Component, sums, strict=True)) for pk, *sums in cursor.fetchall()}
        return Batch(batch, day.start + timedelta(days=1), costs)

    def _model_rows(self, cursor: CursorWrapper, moment: datetime) -> None:
        """The models with what one unit costs at `moment`."""
        names = [offer.public_id for offer in self._offers]
        history = PriceHistory.load(names, moment, moment)
        cursor.execute("TRUNCATE demo_model")
        cursor.executemany(_MODEL, [
            (
                at, offer.public_id, offer.endpoint, list(offer.at), offer.context_tokens,
                Task.TRANSCRIPTION in offer.tasks, offer.input_tokens, offer.output_tokens,
                offer.ms_per_token, *_units(history.at(offer.public_id, moment)),
            )
            for at, offer in enumerate(self._offers)
        ])  # fmt: skip


def rollups_make() -> None:
    """The sums by hour, day and backend of what was made in this transaction."""
    with connection.cursor() as cursor:
        cursor.execute((FOLDER / "rollups.sql").read_text())


def _days(since: datetime, until: datetime) -> Iterator[Day]:
    length = (until - since) // DAY
    for at in range(length + 2):
        start = since.replace(hour=0) + at * DAY
        hours = [
            hour
            for hour, often in enumerate(HOURS)
            for _again in range(often)
            if since <= start + timedelta(hours=hour) < until
        ]
        if hours:
            is_weekend = start.weekday() >= SATURDAY
            share = (WEEKEND if is_weekend else 1) * (1 + GROWTH * at / max(1, length))
            yield Day(start, hours, len(hours) * share)


def _units(prices: Prices) -> Iterator[Decimal]:
    """EUR for one unit of each component; 0 where it has no price."""
    for component in Component:
        price = prices.of(component)
        yield price.amount(1) if price else Decimal(0)


def _seed_of(name: str) -> float:
    """What PostgreSQL takes as a seed: -1 to 1, the same for the same name."""
    return Random(name).uniform(-1, 1)  # noqa: S311 - the same every time
