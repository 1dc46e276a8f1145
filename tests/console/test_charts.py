"""The charts that the server draws."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.templatetags import charts

values = st.lists(st.none() | st.floats(min_value=0, max_value=1e9), max_size=80)


@given(values=values)
def test_every_known_value_is_drawn_at_its_place_and_no_other(values: list[float | None]) -> None:
    drawn = [point for run in charts.runs_of(values) for point in run]
    assert drawn == [(at, value) for at, value in enumerate(values) if value is not None]
    for run in charts.runs_of(values):
        assert all(after == before + 1 for (before, _), (after, _) in pairwise(run))


@given(values=values)
def test_a_line_stays_within_its_box(values: list[float | None]) -> None:
    drawing = charts.trend(values, "x", charts.round_top(values), "1")
    for points in re.findall(r'<polyline points="([^"]*)"', drawing):
        for point in points.split():
            at, y = map(float, point.split(","))
            assert 0 <= at <= max(1, len(values) - 1)
            assert 0 <= y <= 100


def test_what_is_not_known_is_a_gap() -> None:
    assert charts.trend([1, 2, None, 3], "x", 3, "3").count("<polyline") == 2
    assert "<polyline" not in charts.trend([None, None], "x", 1, "1")
    assert "<polyline" not in charts.trend([], "x", 1, "1")


@pytest.mark.parametrize(
    ("highest", "top"),
    [
        (0, 1),
        (1, 1),
        (1.2, 1.5),
        (54, 60),
        (100, 100),
        (101, 150),
        (0.03, 0.03),
        (7, 8),
        (940, 1000),
    ],
)
def test_the_top_is_the_next_round_number(highest: float, top: float) -> None:
    assert charts.round_top([None, highest]) == pytest.approx(top)


@given(highest=st.floats(min_value=1e-6, max_value=1e12))
def test_the_top_is_above_everything_and_not_by_much(highest: float) -> None:
    assert highest * (1 - 1e-8) <= charts.round_top([highest, 0]) <= highest * 1.51


def test_a_label_is_text_and_not_markup() -> None:
    assert "<b>" not in charts.trend([1], "<b>", 1, "<b>")
    assert "<b>" not in charts.strip([("ok", 0, 1)], "<b>")


def test_a_strip_has_a_part_for_each_state_where_it_was() -> None:
    drawing = charts.strip([("ok", 0, 0.25), ("bad", 0.25, 0.75)], "Out 45 min")
    assert 'aria-label="Out 45 min"' in drawing
    rects = re.findall(r'<rect x="(.*?)" width="(.*?)" .*? fill="(.*?)" opacity="(.*?)"/>', drawing)
    assert rects == [
        ("0.00%", "25.00%", "var(--ok)", "0.45"),
        ("25.00%", "75.00%", "var(--bad)", "1"),
    ]
