"""How numbers, times and states look on a page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone

from console.templatetags import ui


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (18_392_779_434, "18 392 779 434"), (-1500, "−1 500"), (None, "–")],
)
def test_a_number_is_whole_and_grouped_by_thin_spaces(value: int | None, text: str) -> None:
    assert ui.number(value) == text.replace(" ", "\u2009")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (9_999, "9 999"), (10_000, "10.0 k"), (212_412, "212 k"),
        (1_940_000_000, "1.94 B"), (18_392_779_434, "18.4 B"), (12_443_381, "12.4 M"), (None, "–"),
    ],
)  # fmt: skip
def test_a_short_number_has_three_digits(value: int | None, text: str) -> None:
    assert ui.short_number(value) == text.replace(" ", "\u2009")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 3, "33.3 %"), (0, 5, "0 %"), (5, 5, "100 %"), (3, 10_000, "0.03 %"), (0, 0, "–")],
)
def test_a_share_of_nothing_is_not_zero(part: int, whole: int, text: str) -> None:
    assert ui.percent_of(part, whole) == text.replace(" ", "\u2009")


def test_money_has_two_decimals_and_exact_money_twelve() -> None:
    assert ui.money(Decimal("2240.645")) == "€2\u2009240.65"
    assert ui.money(Decimal(0)) == "€0.00"
    assert ui.money(Decimal("-2.5")) == "−€2.50"
    assert ui.money(None) == "–"
    assert ui.exact_money(Decimal("0.00001234")) == "€0.000 012 340 000".replace(" ", "\u2009")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.150000", "€0.15"), ("0.055", "€0.055"), ("2", "€2.00"), ("20", "€20.00")],
)
def test_a_price_is_as_long_as_it_is(amount: str, text: str) -> None:
    assert ui.price(Decimal(amount)) == text


def test_a_time_is_utc_and_exact_for_machines() -> None:
    html = ui.utc(datetime(2026, 11, 21, 5, 31, 7, tzinfo=UTC))

    assert ">21 Nov 2026 05:31</time>" in html
    assert 'datetime="2026-11-21T05:31:07+00:00"' in html
    assert 'title="21 Nov 2026 05:31:07 UTC"' in html


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=8.5), "8 s ago"), (timedelta(minutes=2), "2 min ago"),
        (timedelta(hours=23), "23 h ago"), (timedelta(seconds=-3), "1 s ago"),
    ],
)  # fmt: skip
def test_a_time_under_a_day_is_relative(age: timedelta, text: str) -> None:
    assert f">{text.replace(' ', chr(0x2009), 1)}</time>" in ui.ago(timezone.now() - age)


def test_a_time_past_a_day_is_the_date() -> None:
    moment = timezone.now() - timedelta(hours=25)

    assert re.search(r">\d{1,2} \w{3} \d{4}</time>", ui.ago(moment))
    assert ui.ago(None) == ui.utc(None) == "–"


def test_what_people_typed_is_escaped() -> None:
    assert "&lt;b&gt;" in ui.status("ok", "<b>")


def test_a_share_bar_stays_within_its_width() -> None:
    assert 'width="61.4%"' in ui.sharebar(614, 1000, 2)
    assert 'width="100.0%"' in ui.sharebar(5, 2)
    assert 'width="0.0%"' in ui.sharebar(0, 0)


def test_a_sparkline_starts_at_zero_and_needs_two_values() -> None:
    drawn = ui.sparkline([0, 5, 10])

    assert 'points="0.0,27.0 48.0,14.0 96.0,1.0"' in drawn
    assert ui.sparkline([3]) == ""
    assert ui.sparkline([0, 0])


def test_an_icon_is_inline_and_hidden_from_readers() -> None:
    drawn = Template('{% icon "key" %}').render(Context())

    assert drawn.startswith('<svg class="icon"')
    assert 'aria-hidden="true"' in drawn
    with pytest.raises(FileNotFoundError):
        ui.icon("no-such-icon")


@pytest.mark.parametrize(
    ("path", "marked"),
    [("/o/acme/keys/", True), ("/o/acme/keys/create/", True), ("/o/acme/usage/", False)],
)
def test_the_menu_marks_the_page_that_is_open(path: str, marked: bool) -> None:
    context = Context({"request": RequestFactory().get(path)})

    link = ui.nav_link(context, "keys", "key", "API keys", "acme")

    assert ('aria-current="page"' in link) is marked


def test_home_is_marked_on_home_alone() -> None:
    context = Context({"request": RequestFactory().get("/o/acme/keys/")})

    assert "aria-current" not in ui.nav_link(context, "org_home", "home", "Home", "acme")
