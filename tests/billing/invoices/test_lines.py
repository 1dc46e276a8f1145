"""Lines as they stand on an invoice: their words, their order, and how discounts end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from billing.invoices.lines import Group, Line, Paid, settled_lines, usage_lines
from billing.invoices.requests import Tariff
from billing.models import LineKind
from billing.pricing import Prices, UnitPrice
from tests.billing.invoices.test_pure import Off

APRIL = date(2026, 4, 1)


def tariff(model: str) -> Tariff:
    tokens, audio = UnitPrice(Decimal("0.15"), 10**6), UnitPrice(Decimal("0.006"), 60)
    return Tariff.of(model, Prices(input=tokens, output=tokens, audio_second=audio))


def group(model: str, late: date | None = None, **units: int) -> Group:
    used = [units.get(name, 0) for name in ("fresh", "cached", "output", "audio")]
    return Group(late, tariff(model), used, [150_000 * one for one in used])


def test_lines_are_by_model_and_what_is_late_comes_last_by_its_month() -> None:
    march, february = date(2026, 3, 1), date(2026, 2, 1)
    groups = [
        group("a", march, output=1), group("z", output=3, fresh=1_234_567), group("b", audio=60),
        group("b", february, output=1), group("a", february, output=1),
    ]  # fmt: skip
    lines = usage_lines(groups, APRIL, "EUR")
    assert [(one.kind, one.model, one.component, one.month) for one in lines] == [
        (LineKind.USAGE, "b", "audio_second", APRIL),
        (LineKind.USAGE, "z", "input", APRIL),
        (LineKind.USAGE, "z", "output", APRIL),
        (LineKind.LATE, "a", "output", february),
        (LineKind.LATE, "b", "output", february),
        (LineKind.LATE, "a", "output", march),
    ]
    assert [one.text for one in lines[:2]] == [
        "60 seconds of audio × €0.006 / minute",
        "1\u2009234\u2009567 input tokens × €0.15 / 1 M",
    ]
    assert (lines[1].exact, lines[1].amount) == (Decimal("0.185185050000"), Decimal("0.19"))
    assert (lines[1].quantity, lines[1].unit_price, lines[1].unit_scale) == (
        1_234_567, Decimal("0.15"), 10**6,
    )  # fmt: skip


def test_discounts_end_where_nothing_is_paid_with_money() -> None:
    usage = [Line(LineKind.USAGE, Decimal(10), Decimal(10), "")]
    off = [Off(Decimal(1500), Decimal("10.00"), Decimal(-3)),
           Off(Decimal(2000), Decimal("12.50"), Decimal(-4)),
           Off(Decimal(3000), Decimal(20), Decimal(-1))]  # fmt: skip
    lines = settled_lines(usage, off, Paid(Decimal(5), Decimal(2), Decimal(3)), "EUR")
    assert [(one.kind, str(one.exact), str(one.amount), one.text) for one in lines[1:]] == [
        (LineKind.DISCOUNT, "-3", "-3.00", "Volume discount: 10 % of what is above €1\u2009500.00"),
        (
            LineKind.DISCOUNT,
            "-2",
            "-2.00",
            "Volume discount: 12.5 % of what is above €2\u2009000.00",
        ),
        (LineKind.PROMO, "-5", "-5.00", "Paid with promotional credit"),
        (LineKind.PREPAID, "2", "2.00", "Discount, given as prepaid credit"),
        (LineKind.PREPAID, "-2", "-2.00", "Paid with prepaid credit"),
    ]
