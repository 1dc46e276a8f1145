"""The requests that an invoice is of, and each as a line of `usage.csv`: what is hashed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from billing.ingest.rating import UnitPicos, unit_picos
from billing.models import BILLED, LISTS, Component, Currency, Invoice, Rate, UsageEvent
from billing.pricing import PriceHistory, Prices, UnitPrice, books_read

COMPONENTS: Final = tuple(Component)
HEADER: Final = (
    "request_id", "occurred_at", "admitted_at", "project", "api_key", "model", "endpoint",
    "outcome", "input_tokens", "cached_tokens", "output_tokens", "audio_seconds",
    *(f"{component}_price" for component in COMPONENTS), "amount",
)  # fmt: skip
_FIELDS: Final = (
    "request_id", "occurred_at", "admitted_at", "project_id", "api_key_id", "model", "endpoint",
    "outcome", "input_tokens", "cached_tokens", "output_tokens", "audio_seconds", "amount",
    "book_id", "batch_id",
)  # fmt: skip
_CHUNK: Final = 5000
_NO_UNITS: Final = (0,) * len(COMPONENTS)
_QUOTED: Final = frozenset(',"\r\n')


class RatedOtherwise(ValueError):  # noqa: N818 - a state of things
    """A request is on record with another amount than its counts and the prices give."""


class Tariff(NamedTuple):
    """The prices of one model in one book between two changes, by component."""

    model: str
    prices: tuple[UnitPrice | None, ...]
    units: tuple[UnitPicos | None, ...]
    text: str

    @classmethod
    def of(cls, model: str, prices: Prices) -> Tariff:
        each = tuple(prices.of(component) for component in COMPONENTS)
        units = tuple(unit_picos(one.price, one.unit_scale) if one else None for one in each)
        return cls(model, each, units, ",".join(map(price_text, COMPONENTS, each)))

    def picos(self, used: tuple[int, ...]) -> tuple[int, ...]:
        """What was `used` costs, by component."""
        return tuple(
            unit.of(count) if unit and count else 0
            for unit, count in zip(self.units, used, strict=True)
        )


class Request(NamedTuple):
    """`line` is its line of `usage.csv`; `used` units and `picos` are by component.

    `late` is the first day of its month where that was closed before. A request that is not billed
    has no tariff.
    """

    line: bytes
    batch_id: UUID
    late: date | None
    tariff: Tariff | None
    used: tuple[int, ...]
    picos: tuple[int, ...]


def requests_of(invoice: Invoice) -> Iterator[Request]:
    """Those of its period, oldest first; before them those that are late for theirs."""
    tariffs = _Tariffs(Currency(invoice.currency))
    for is_late, events in ((True, _late(invoice)), (False, _own(invoice))):
        rows = events.order_by("occurred_at", "request_id").values_list(*_FIELDS)
        for row in rows.iterator(chunk_size=_CHUNK):
            yield _request(row, tariffs, is_late=is_late)


def is_any(invoice: Invoice) -> bool:
    """Whether anything of its period costs."""
    return any(found.filter(amount__gt=0).exists() for found in (_own(invoice), _late(invoice)))


def price_text(component: Component, price: UnitPrice | None) -> str:
    """As in `usage.csv`: for a million tokens or a minute, or else with the scale behind it."""
    if price is None:
        return ""
    text = f"{price.price:.6f}"
    return text if price.unit_scale == component.unit_scale else f"{text}/{price.unit_scale}"


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _own(invoice: Invoice) -> QuerySet[UsageEvent]:
    start, end = midnight(invoice.period_start), midnight(invoice.period_end)
    return _booked(invoice).filter(occurred_at__gte=start, occurred_at__lt=end, billed_in=None)


def _late(invoice: Invoice) -> QuerySet[UsageEvent]:
    return _booked(invoice).filter(billed_in=invoice.period_start)


def _booked(invoice: Invoice) -> QuerySet[UsageEvent]:
    found = UsageEvent.objects.for_organization(invoice.organization)
    return found.filter(batch_id__isnull=False)


def _request(row: tuple[Any, ...], tariffs: _Tariffs, *, is_late: bool) -> Request:
    (request_id, occurred_at, admitted_at, project, key, model, endpoint, outcome, fresh, cached,
     output, audio, amount, book, batch_id) = row  # fmt: skip
    tariff, used, picos = None, _NO_UNITS, _NO_UNITS
    if outcome in BILLED:
        tariff = tariffs.at(book, model, admitted_at)
        used = (fresh - cached, cached, output, audio)
        picos = tariff.picos(used)
    if Decimal(sum(picos)) != amount.scaleb(12):
        raise RatedOtherwise(f"Request {request_id} is booked with {amount}: not what it costs.")
    prices = tariff.text if tariff else "," * (len(COMPONENTS) - 1)
    line = (
        f"{request_id},{occurred_at.isoformat()},{admitted_at.isoformat()},{project},{key},"
        f"{_quoted(model)},{_quoted(endpoint)},{outcome},{fresh},{cached},{output},{audio},"
        f"{prices},{amount:.12f}"
    )
    late = occurred_at.date().replace(day=1) if is_late else None
    return Request(line.encode(), batch_id, late, tariff, used, picos)


def _quoted(text: str) -> str:
    return text if _QUOTED.isdisjoint(text) else '"' + text.replace('"', '""') + '"'


class _Tariffs:
    """Each is looked up once between two changes of prices."""

    def __init__(self, currency: Currency) -> None:
        self._list = LISTS[currency]
        self._books = books_read()
        self._histories: dict[tuple[UUID, str], tuple[PriceHistory, list[datetime]]] = {}
        self._known: dict[tuple[UUID, str, int], Tariff] = {}

    def at(self, book_id: UUID | None, model: str, moment: datetime) -> Tariff:
        book = book_id or self._list
        if (found := self._histories.get((book, model))) is None:
            found = self._histories[book, model] = self._load(book, model)
        history, turns = found
        turn = bisect_right(turns, moment)
        if (tariff := self._known.get((book, model, turn))) is None:
            tariff = Tariff.of(model, history.at(model, moment))
            tariff = self._known[book, model, turn] = tariff
        return tariff

    def _load(self, book_id: UUID, model: str) -> tuple[PriceHistory, list[datetime]]:
        book = self._books[book_id]
        rates = list(Rate.objects.approved().filter(book__in=book.chain, model=model))
        ends = {end for rate in rates for end in (rate.valid.lower, rate.valid.upper) if end}
        return PriceHistory(rates, book), sorted(ends)
