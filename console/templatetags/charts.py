"""Charts that the server draws: nothing to load, nothing inline, the theme's colours.

Lines know gaps: what is not known is not drawn, and never as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from math import floor, log10
from typing import Final

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

HEIGHT: Final = 72
"""Of a trend, in pixels; its width is that of its place."""
_HEAD: Final = 14
"""Room above the highest line, for the number on it."""
_TOPS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
FAINT: Final = {"ok": 0.45}
"""In a strip the good part is faint, so that the eye goes to the bad."""

type Points = Sequence[tuple[int, float]]


@register.simple_tag
def trend(
    values: Sequence[float | None], label: str, top: float, scale: str, color: str = "c1"
) -> SafeString:
    """A line over `values`, oldest first, from 0 up to `top`, which reads as `scale`."""
    scaled = [None if value is None else 100 - 100 * min(value, top) / top for value in values]
    return format_html(
        '<svg class="w-100 d-block" height="{height}" role="img" aria-label="{label}">'
        '<rect class="fline" y="{head}" width="100%" height="1"/>'
        '<rect class="fline" y="{foot}" width="100%" height="1"/>'
        '<text x="100%" y="10" text-anchor="end" font-size="11" fill="var(--axis)">{scale}</text>'
        '<svg y="{head}" width="100%" height="{room}" viewBox="0 0 {last} 100"'
        ' preserveAspectRatio="none">{runs}</svg></svg>',
        height=HEIGHT,
        label=label,
        head=_HEAD,
        foot=HEIGHT - 1,
        room=HEIGHT - _HEAD,
        scale=scale,
        last=max(1, len(values) - 1),
        runs=format_html_join("", "{}", ((_run(run, color),) for run in runs_of(scaled))),
    )


def runs_of(values: Iterable[float | None]) -> list[Points]:
    """The stretches of `values` without a gap, as (place, value)."""
    known = groupby(enumerate(values), key=lambda point: point[1] is not None)
    return [[(at, y) for at, y in run if y is not None] for is_known, run in known if is_known]


def round_top(values: Iterable[float | None]) -> float:
    """A round number above all of `values`; 1 for nothing."""
    highest = max((value for value in values if value is not None), default=0)
    if highest < 1e-9:
        return 1
    size = 10.0 ** floor(log10(highest))
    return next(step * size for step in _TOPS if step * size >= highest * (1 - 1e-9))


def _run(points: Points, color: str) -> SafeString:
    """A stretch, and the area under it; a lone point is a dash."""
    if len(points) == 1:
        ((at, y),) = points
        points = [(at, y), (at, y)]
    line = " ".join(f"{at},{y:.1f}" for at, y in points)
    return format_html(
        '<polygon points="{first},100 {line} {last},100" fill="var(--{color})" opacity=".1"/>'
        '<polyline points="{line}" fill="none" stroke="var(--{color})" stroke-width="1.5"'
        ' stroke-linecap="round" vector-effect="non-scaling-stroke"/>',
        first=points[0][0],
        last=points[-1][0],
        line=line,
        color=color,
    )


@register.simple_tag
def strip(parts: Iterable[tuple[str, float, float]], label: str) -> SafeString:
    """A bar of states: `parts` are a kind (ok, warn, bad, idle), a start and a length, 0 to 1."""
    return format_html(
        '<svg class="w-100 d-block" height="24" role="img" aria-label="{}">{}</svg>',
        label,
        format_html_join(
            "",
            '<rect x="{}%" width="{}%" height="100%" fill="var(--{})" opacity="{}"/>',
            (
                (f"{100 * start:.2f}", f"{100 * length:.2f}", kind, FAINT.get(kind, 1))
                for kind, start, length in parts
            ),
        ),
    )


@register.simple_tag
def stretch(start: int, end: int, whole: int, slot: int) -> SafeString:
    """A bar from `start` to `end` on a line as long as `whole`; a hair at least is seen."""
    scale = Decimal(100) / (whole or 1)
    return format_html(
        '<svg class="w-100 d-block" height="18" aria-hidden="true">'
        '<rect class="fline" y="8" width="100%" height="2"/>'
        '<rect class="f{}" x="{}%" width="{}%" height="18" rx="2"/></svg>',
        slot,
        f"{min(start * scale, Decimal('99.65')):.2f}",
        f"{max((end - start) * scale, Decimal('0.35')):.2f}",
    )


@register.simple_tag
def stack(
    values: Iterable[float | Decimal], slots: Iterable[int], whole: float | Decimal
) -> SafeString:
    """A small bar of parts, as long as their share of `whole`, each in the colour of its slot."""
    rects, start = [], Decimal(0)
    for value, slot in zip(values, slots, strict=True):
        length = 100 * Decimal(value) / Decimal(whole or 1)
        rects.append((slot, f"{start:.2f}", f"{length:.2f}"))
        start += length
    return format_html(
        '<svg class="bar s" aria-hidden="true"><rect class="fline" width="100%" height="100%"'
        ' rx="3"/>{}</svg>',
        format_html_join("", '<rect class="f{}" x="{}%" width="{}%" height="100%"/>', rects),
    )
