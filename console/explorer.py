"""Usage of the whole platform by any two of organization, project, key, model and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import batched
from typing import Any, Final, Literal, NamedTuple

from django.db import connection
from django.db.models import F, QuerySet, Sum
from django.db.models.expressions import Combinable
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import SUMMED, UsageDay, UsageHour
from console.charts import OTHER, SLOTS, Series, Unit, bars, color_slots
from console.currencies import DEFAULT
from console.exports import Rows, cell
from console.forms import Days, Measure
from console.reports import money_places
from inference.models import Model
from tenants.models import ApiKey, Organization, Project

type Dimension = Literal["organization", "project", "api_key", "model", "day", "hour"]
type Value = str | date | datetime
"""Of a dimension; of what has an id that, as text."""

type Amount = int | Decimal

DIMENSIONS: Final = (
    ("organization", gettext_lazy("Organization")),
    ("project", gettext_lazy("Project")),
    ("api_key", gettext_lazy("API key")),
    ("model", gettext_lazy("Model")),
    ("day", gettext_lazy("Day")),
    ("hour", gettext_lazy("Hour")),
)
TIMES: Final = frozenset({"day", "hour"})
ROWS: Final = 50
CSV_ROWS: Final = 100_000
CSV_PIECE: Final = 2_000
_MEASURES: Final[Mapping[Measure, Combinable]] = {
    "cost": Sum("amount"),
    "tokens": Sum(F("input_tokens") + F("output_tokens")),
    "requests": Sum("requests"),
}
_SUMS: Final = """
WITH pairs (one, other, value) AS MATERIALIZED ({pairs}),
top AS (SELECT other FROM pairs GROUP BY 1 ORDER BY sum(value) DESC, other::text LIMIT %s)
SELECT one::text, NULL, sum(value) FROM pairs GROUP BY one
UNION ALL SELECT NULL, other::text, sum(value) FROM pairs GROUP BY other
UNION ALL SELECT one::text, other::text, value FROM pairs JOIN top USING (other)
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the sums of `measure` in `days` by `rows` and `columns`, two of DIMENSIONS.

    Of a time and something else the time is the rows. Costs are those in `currency` alone; tokens
    and requests have none.
    """

    days: Days
    rows: Dimension
    columns: Dimension
    measure: Measure
    organization: Organization | None = None
    model: str = ""
    currency: str = DEFAULT

    @property
    def has_time(self) -> bool:
        return self.rows in TIMES


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: the value of each column, and the total, which the rest is part of."""

    label: str
    note: str
    values: Sequence[Amount]
    total: Amount


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    note: str
    slot: int


class Exploration:
    """The answer to a question, from the sums by day or hour alone. One query, and names."""

    def __init__(self, asked: Question) -> None:
        self.asked = asked

    @cached_property
    def columns(self) -> list[Column]:
        """The largest, and the rest as one."""
        names = names_of(self.asked.columns, self._top)
        slots = color_slots([str(one) for one in self._top], self._catalogue)
        found = [Column(*names[str(one)], slots[str(one)]) for one in self._top]
        has_rest = len(self._by_column) > len(found)
        return [*found, Column(_("Other"), "", OTHER)] if has_rest else found

    @cached_property
    def lines(self) -> list[Line]:
        """The largest first, or the latest; the rest of them as one."""
        shown = self._shown
        names = names_of(self.asked.rows, shown)
        lines = [self._line(names[str(one)], one) for one in shown]
        rest = len(self._by_row) - len(shown)
        if rest:
            lines.append(self._rest(lines, rest))
        return lines

    @cached_property
    def total(self) -> Amount:
        return sum(self._by_row.values(), self._zero)

    @cached_property
    def column_totals(self) -> list[Amount]:
        return self._with_rest([self._by_column[one] for one in self._top], self.total)

    @property
    def slots(self) -> list[int]:
        return [column.slot for column in self.columns]

    @property
    def row_title(self) -> str:
        return str(dict(DIMENSIONS)[self.asked.rows])

    @property
    def highest(self) -> Amount:
        """The longest bar's length."""
        return max((line.total for line in self.lines), default=0)

    @property
    def places(self) -> int:
        return money_places(Decimal(self.total)) if self.asked.measure == "cost" else 0

    @property
    def chart(self) -> dict[str, Any]:
        """Over time, where time is one of the two."""
        by_hour = self.asked.rows == "hour"
        step = timedelta(hours=1) if by_hour else timedelta(days=1)
        days = self.asked.days
        moments = [days.start + at * step for at in range((days.end - days.start) // step)]
        series = [
            Series(
                column.label,
                column.slot,
                [self._cell(at, _moment(moment, by_hour=by_hour)) for moment in moments],
            )
            for at, column in enumerate(self.columns)
        ]
        unit: Unit = "money" if self.asked.measure == "cost" else "count"
        return bars(moments, series, step=step, unit=unit)

    @property
    def _zero(self) -> Amount:
        return Decimal(0) if self.asked.measure == "cost" else 0

    @cached_property
    def _sums(self) -> _Sums:
        return _sums(self.asked)

    @property
    def _by_row(self) -> dict[Value, Amount]:
        return self._sums.rows

    @property
    def _by_column(self) -> dict[Value, Amount]:
        return self._sums.columns

    @property
    def _pairs(self) -> dict[tuple[Value, Value], Amount]:
        return self._sums.pairs

    @cached_property
    def _top(self) -> list[Value]:
        most = _largest(self._by_column)
        return most if len(most) <= SLOTS + 1 else most[:SLOTS]

    @cached_property
    def _shown(self) -> list[Value]:
        if self.asked.has_time:
            return sorted(self._by_row, key=str, reverse=True)
        return _largest(self._by_row)[:ROWS]

    @property
    def _catalogue(self) -> list[str]:
        """What gives each its colour: models have theirs everywhere."""
        if self.asked.columns != "model":
            return [str(one) for one in self._top]
        return list(Model.objects.order_by("created_at", "id").values_list("public_id", flat=True))

    def _line(self, name: tuple[str, str], row: Value) -> Line:
        values = [self._pairs.get((row, column), self._zero) for column in self._top]
        total = self._by_row[row]
        return Line(*name, self._with_rest(values, total), total)

    def _rest(self, lines: Sequence[Line], count: int) -> Line:
        shown = [sum(values) for values in zip(*(line.values for line in lines), strict=True)]
        values = [all_ - part for all_, part in zip(self.column_totals, shown, strict=True)]
        total = self.total - sum(line.total for line in lines)
        return Line(_("Other"), str(count), values, total)

    def _with_rest(self, values: list[Amount], total: Amount) -> list[Amount]:
        is_all = len(self._top) == len(self._by_column)
        return values if is_all else [*values, total - sum(values)]

    def _cell(self, column: int, row: Value) -> Amount:
        total = self._by_row.get(row, self._zero)
        values = [self._pairs.get((row, one), self._zero) for one in self._top]
        return self._with_rest(values, total)[column]


class _Sums(NamedTuple):
    """Of each row, of each column, and of each pair with one of the largest columns."""

    rows: dict[Value, Amount]
    columns: dict[Value, Amount]
    pairs: dict[tuple[Value, Value], Amount]


def _sums(asked: Question) -> _Sums:
    """In one query, which reads the rollup once."""
    found = rollup(asked)
    if asked.measure == "cost":
        found = found.filter(currency=asked.currency)
    pairs = found.order_by().values_list(asked.rows, asked.columns)
    sql, params = pairs.annotate(value=_MEASURES[asked.measure]).query.sql_with_params()
    sums = _Sums({}, {}, {})
    with connection.cursor() as cursor:
        cursor.execute(_SUMS.format(pairs=sql), [*params, SLOTS + 1])
        for row, column, value in cursor.fetchall():
            amount = value if asked.measure == "cost" else int(value)
            if column is None:
                sums.rows[_value(asked.rows, row)] = amount
            elif row is None:
                sums.columns[_value(asked.columns, column)] = amount
            else:
                sums.pairs[_value(asked.rows, row), _value(asked.columns, column)] = amount
    return sums


def _value(dimension: Dimension, text: str) -> Value:
    """A value of a dimension as PostgreSQL writes it."""
    if dimension == "day":
        return date.fromisoformat(text)
    return datetime.fromisoformat(text) if dimension == "hour" else text


def rollup(asked: Question) -> QuerySet[Any]:
    """The sums by day; by hour only where hours are asked for."""
    days = asked.days
    rows: QuerySet[Any] = UsageDay.objects.filter(day__gte=days.first, day__lte=days.last)
    if asked.rows == "hour":
        rows = UsageHour.objects.between(days.start, days.end)
    if asked.organization:
        rows = rows.filter(organization=asked.organization)
    return rows.filter(model=asked.model) if asked.model else rows


def names_of(dimension: Dimension, wanted: Iterable[Value]) -> dict[str, tuple[str, str]]:
    """The name of each value, and a note that tells two of the same name apart."""
    values: list[Any] = list(wanted)
    if dimension in TIMES:
        pattern = "j M Y" if dimension == "day" else "j M H:i"
        return {str(value): (date_format(value, pattern), "") for value in values}
    if dimension == "model":
        return {str(value): (str(value), "") for value in values}
    found: QuerySet[Any, tuple[Any, str, str]]
    if dimension == "organization":
        found = Organization.objects.values_list("pk", "name", "slug")
    elif dimension == "project":
        found = Project.objects.values_list("pk", "name", "organization__name")
    else:
        found = ApiKey.objects.values_list("pk", "name", "organization__name")
    return {str(pk): (name, note) for pk, name, note in found.filter(pk__in=values)}


def csv_pieces(asked: Question) -> Iterator[Rows]:
    """All sums of all pairs, a line for each currency, in the order of their values; a last line
    tells of a cut.
    """
    yield [(asked.rows, asked.columns, *SUMMED, "currency")]
    pairs = (asked.rows, asked.columns, "currency")
    sums = rollup(asked).order_by(*pairs).values_list(*pairs)
    summed = sums.annotate(**{f"sum_{name}": Sum(name) for name in SUMMED})
    found = summed[:CSV_ROWS].iterator(chunk_size=CSV_PIECE)
    count = 0
    for piece in batched(found, CSV_PIECE, strict=False):
        count += len(piece)
        yield _csv_rows(asked, piece)
    if count == CSV_ROWS:
        yield [("There may be more: ask for a shorter range.",)]


def _csv_rows(asked: Question, piece: Sequence[tuple[Any, ...]]) -> Rows:
    rows = names_of(asked.rows, {one[0] for one in piece})
    columns = names_of(asked.columns, {one[1] for one in piece})
    return [
        (
            _csv_name(asked.rows, row, rows),
            _csv_name(asked.columns, column, columns),
            *sums[:-1],
            f"{sums[-1]:.12f}",
            currency,
        )
        for row, column, currency, *sums in piece
    ]


def _csv_name(dimension: Dimension, value: Any, names: Mapping[str, tuple[str, str]]) -> str:
    if dimension in TIMES:
        return str(value.isoformat())
    name, note = names[str(value)]
    return cell(f"{name} ({note})" if note else name)


def _largest(sums: Mapping[Value, Amount]) -> list[Value]:
    return sorted(sums, key=lambda one: (-sums[one], str(one)))


def _moment(moment: datetime, *, by_hour: bool) -> Value:
    return moment if by_hour else moment.date()
