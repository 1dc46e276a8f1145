"""The lines of an invoice, from its requests. Pure: the same requests give the same lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from billing.invoices.merkle import Merkle, leaf
from billing.invoices.requests import COMPONENTS, Request, Tariff
from billing.models import Component, LineKind
from billing.written import grouped, money_written, price_written

CENT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)
_NAMES: Final = {
    Component.INPUT: "input tokens",
    Component.CACHED_INPUT: "cached input tokens",
    Component.OUTPUT: "output tokens",
    Component.AUDIO_SECOND: "seconds of audio",
}
_UNITS: Final = {1_000_000: "1 M", 60: "minute", 1: "unit"}


class Paid(NamedTuple):
    """How usage was paid as it came: with promotional and prepaid credit, and what is unbilled."""

    promo: Decimal
    prepaid: Decimal
    unbilled: Decimal


class Discount(Protocol):
    """`percent` off what is above `from_amount`; `exact` is below zero."""

    @property
    def from_amount(self) -> Decimal: ...
    @property
    def percent(self) -> Decimal: ...
    @property
    def exact(self) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Line:
    """As `InvoiceLine` keeps it."""

    kind: LineKind
    exact: Decimal
    amount: Decimal
    text: str
    month: date | None = None
    model: str = ""
    component: str = ""
    quantity: int = 1
    unit_price: Decimal = _ZERO
    unit_scale: int = 1
    root: str = ""


@dataclass(slots=True)
class Group:
    """The requests of one model at the same prices; `late` is their month, if that was closed."""

    late: date | None
    tariff: Tariff
    units: list[int] = field(default_factory=lambda: [0] * len(COMPONENTS))
    picos: list[int] = field(default_factory=lambda: [0] * len(COMPONENTS))
    tree: Merkle = field(default_factory=Merkle)

    def add(self, request: Request, hashed: bytes) -> None:
        self.tree.add_leaf(hashed)
        for index, (used, picos) in enumerate(zip(request.used, request.picos, strict=True)):
            self.units[index] += used
            self.picos[index] += picos

    @property
    def key(self) -> tuple[date | None, Tariff]:
        return self.late, self.tariff


class Summed:
    """All requests of an invoice: their tree, the batches that booked them, and their groups."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self.tree = Merkle()
        self.batches = set[UUID]()
        groups = dict[tuple[date | None, Tariff], Group]()
        for request in requests:
            hashed = leaf(request.line)
            self.tree.add_leaf(hashed)
            self.batches.add(request.batch_id)
            if request.tariff is not None:
                key = (request.late, request.tariff)
                if (group := groups.get(key)) is None:
                    group = groups[key] = Group(*key)
                group.add(request, hashed)
        self.groups: Sequence[Group] = tuple(groups.values())


def usage_lines(groups: Iterable[Group], month: date, currency: str) -> list[Line]:
    """One for each model, component and price that something was used of; late ones are last."""
    ordered = sorted(groups, key=lambda one: (one.late or date.max, one.tariff.model))
    on_time = [group for group in ordered if group.late is None]
    late = [group for group in ordered if group.late is not None]
    return [line for group in (*on_time, *late) for line in _of_group(group, month, currency)]


def settled_lines(usage: Sequence[Line], discounts: Iterable[Discount], paid: Paid,
                  currency: str) -> list[Line]:  # fmt: skip
    """`usage`, what is let off of it, and what credit has paid: all lines, that add up to what is
    left to pay, rounded once.

    A discount is of what is paid with money: of what is unbilled, and then as credit that comes
    back. The last line of credit takes up the cents by which the rounded lines differ from the
    rounded rest.
    """
    let_off = _let_off(discounts, paid.unbilled + paid.prepaid, currency)
    discount = -sum((line.exact for line in let_off), _ZERO)
    returned = max(discount - paid.unbilled, _ZERO)
    credit = [
        _credit(LineKind.PROMO, -paid.promo, "Paid with promotional credit"),
        _credit(LineKind.PREPAID, returned, "Discount, given as prepaid credit"),
        _credit(LineKind.PREPAID, -paid.prepaid, "Paid with prepaid credit"),
    ]
    lines = [*usage, *let_off, *(line for line in credit if line.exact)]
    is_below = sum((line.amount for line in lines), _ZERO) < 0
    return _balanced(lines) if paid.promo or paid.prepaid or is_below else lines


def rounded(exact: Decimal) -> Decimal:
    return exact.quantize(CENT, ROUND_HALF_UP)


def _of_group(group: Group, month: date, currency: str) -> list[Line]:
    tariff, root = group.tariff, group.tree.root
    found = list[Line]()
    for component, price, units, picos in zip(
        COMPONENTS, tariff.prices, group.units, group.picos, strict=True
    ):
        if units and price:
            exact = Decimal(picos).scaleb(-12)
            per = f"{price_written(price.price, currency)} / {_UNITS[price.unit_scale]}"
            text = f"{grouped(units)} {_NAMES[component]} × {per}"
            found.append(Line(
                LineKind.LATE if group.late else LineKind.USAGE, exact, rounded(exact), text,
                group.late or month, tariff.model, component.value, units, price.price,
                price.unit_scale, root,
            ))  # fmt: skip
    return found


def _let_off(discounts: Iterable[Discount], most: Decimal, currency: str) -> list[Line]:
    """Never more than `most` in all."""
    lines, left = list[Line](), most
    for one in discounts:
        exact = max(one.exact, -left)
        left += exact
        if exact:
            above = money_written(one.from_amount, currency)
            text = f"Volume discount: {one.percent.normalize():f} % of what is above {above}"
            lines.append(Line(LineKind.DISCOUNT, exact, rounded(exact), text))
    return lines


def _credit(kind: LineKind, exact: Decimal, text: str) -> Line:
    return Line(kind, exact, rounded(exact), text)


def _balanced(lines: Sequence[Line]) -> list[Line]:
    *others, last = lines
    wanted = rounded(sum((line.exact for line in lines), _ZERO))
    return [*others, replace(last, amount=wanted - sum((line.amount for line in others), _ZERO))]
