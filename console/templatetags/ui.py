"""How numbers, times, states and small drawings look on a page. A builtin of every template.

Thin spaces (U+2009) group digits and stand before a unit. What is not known is `–`, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from django import template
from django.template import Context
from django.template.defaultfilters import linebreaksbr
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format, get_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from billing.written import THIN, sign_of
from console.access import may_act, may_open
from console.currencies import shown_currency
from console.stopped import why_stopped
from tenants.models import Organization

register = template.Library()

NONE: Final = "–"
ICONS: Final = Path(__file__).resolve().parent.parent / "icons"
SPARK: Final = (96, 28)
_ADDRESS: Final = re.compile(r"(https://[^\s<>\"']*[^\s<>\"'.,;:)])")
_SCALES: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_AGES: Final = ((3600, "h"), (60, "min"), (1, "s"))


# Numbers


@register.filter
def number(value: float | Decimal | None) -> str:
    """A whole number in groups of three: `18 392 779 434`."""
    return NONE if value is None else _decimal(Decimal(value), 0)


@register.filter
def short_number(value: float | Decimal | None) -> str:
    """Three digits and a scale, for tiles: `18.4 B`; whole below 10 000."""
    if value is None or value < 10_000:
        return number(value)
    size, letter = next(scale for scale in _SCALES if value >= scale[0])
    scaled = Decimal(value) / size
    return _decimal(scaled, 2 if scaled < 10 else 1 if scaled < 100 else 0) + THIN + letter


@register.filter
def minutes(seconds: int) -> str:
    """Seconds as minutes with one decimal, whole from 100 on: `12.5`, `340`."""
    length = Decimal(seconds) / 60
    return _decimal(length, 1) if length < 100 else short_number(length)


@register.filter
def seconds(length: float) -> str:
    """With one decimal, whole from 10 on: `2.4 s`, `31 s`."""
    return _decimal(Decimal(length), 1 if length < 10 else 0) + THIN + "s"


@register.filter
def size(count: int) -> str:
    """Bytes as `20 MB`, `1.5 MB` or `100 kB`, by 1024."""
    unit, letter = (1024**2, "MB") if count >= 1024**2 else (1024, "kB")
    return _decimal(Decimal(count) / unit, 0 if count % unit == 0 else 1) + THIN + letter


@register.filter
def percent_of(part: float | Decimal, whole: float | Decimal) -> str:
    """`part` of `whole` as `29.8 %`, `0.03 %`, `100 %`; of nothing it is `–`."""
    if not whole:
        return NONE
    share = 100 * Decimal(part) / Decimal(whole)
    return _decimal(share, 0 if share in {0, 100} else 1 if abs(share) >= 1 else 2) + THIN + "%"


@register.filter
def money(amount: Decimal | None, places: int = 2) -> str:
    """Rounded to `places` decimals, in the currency of the page: `€2 240.65`."""
    return NONE if amount is None else _signed(amount, shown_currency(), places)


@register.filter
def money_in(amount: Decimal | None, currency: str) -> str:
    """In a currency of its own, with two decimals: `SEK 2 240.65`."""
    return NONE if amount is None else _signed(amount, currency, 2)


@register.filter
def money_of(one: Any, places: int = 2) -> str:
    """The `amount` of something, in the `currency` that it says."""
    return _signed(one.amount, one.currency, places)


@register.filter
def exact_money(amount: Decimal | None) -> str:
    """To the last of 12 decimals, in groups of three: `€0.000 012 340 000`."""
    return money(amount, 12)


@register.filter
def price(amount: Decimal | None) -> str:
    """As long as it is, at least cents: `€0.15`, `€0.055`."""
    return price_in(amount, shown_currency())


@register.filter
def price_in(amount: Decimal | None, currency: str) -> str:
    """In a currency of its own: `SEK 0.15`."""
    return NONE if amount is None else _signed(amount, currency, max(2, _places(amount)))


@register.filter
def whole_number(value: Decimal) -> str:
    """As long as it is: `12 000`, `0.000 012 34`."""
    return _decimal(value, _places(value))


def _signed(amount: Decimal, currency: str, places: int) -> str:
    """What is owed has its minus before all: `−€2.50`."""
    text = _decimal(amount, places)
    return ("−" if text.startswith("−") else "") + sign_of(currency) + text.removeprefix("−")


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimal(value: Decimal, places: int) -> str:
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    whole, _point, part = f"{rounded:,f}".partition(".")
    whole = whole.replace(",", THIN).replace("-", "−")
    if not part:
        return whole
    decimals = part if len(part) <= 3 else THIN.join(re.findall(r"\d{1,3}", part))
    return whole + str(get_format("DECIMAL_SEPARATOR")) + decimals


@register.filter
def linked(text: str) -> SafeString:
    """`text` in its lines, with each https address in it as a link."""
    parts = _ADDRESS.split(text)
    marked = (_link(part) if at % 2 else linebreaksbr(part) for at, part in enumerate(parts))
    return format_html_join("", "{}", ((part,) for part in marked))


def _link(url: str) -> SafeString:
    return format_html('<a href="{}" rel="nofollow noopener">{}</a>', url, url)


# Times, always UTC


@register.filter
def utc(moment: datetime | None) -> str:
    """`21 Nov 2026 04:31`; the page says UTC once."""
    return NONE if moment is None else _time(moment, date_format(_utc(moment), "j M Y H:i"))


@register.filter
def ago(moment: datetime | None) -> str:
    """`8 s ago` under 24 hours, then the day; the exact time is in the element's title."""
    if moment is None:
        return NONE
    age = timezone.now() - moment
    if age >= timedelta(hours=24):
        return _time(moment, date_format(_utc(moment), "j M Y"))
    return _time(moment, _("%(age)s ago") % {"age": span(max(age, timedelta(seconds=1)))})


@register.filter
def age(moment: datetime) -> str:
    """How long ago: `4 s`."""
    return span(timezone.now() - moment)


@register.filter
def span(length: timedelta) -> str:
    """The length of a time in its largest unit: `8 s`, `2 min`, `1 h`."""
    seconds = max(0, int(length.total_seconds()))
    size, unit = next((scale for scale in _AGES if seconds >= scale[0]), _AGES[-1])
    return number(seconds // size) + THIN + unit


def _time(moment: datetime, text: str) -> SafeString:
    title = date_format(_utc(moment), "j M Y H:i:s") + " UTC"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', _utc(moment).isoformat(), title, text
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


# Drawings


@register.simple_tag
def icon(name: str) -> SafeString:
    """The vendored icon `name`, inline. Raises FileNotFoundError for one that is not vendored."""
    return _icon(name)


@cache
def _icon(name: str) -> SafeString:
    paths = re.findall(r'<path (?!stroke="none").*?/>', (ICONS / f"{name}.svg").read_text())
    return mark_safe(  # noqa: S308 - our own files
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor"'
        ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        + "".join(paths)
        + "</svg>"
    )


@register.simple_tag
def status(kind: str, word: str) -> SafeString:
    """A state as a dot and a word. `kind` is ok, warn, bad or idle."""
    dot = format_html('<span class="status-dot is-{}"></span>', kind)
    return format_html('<span class="nw">{}{}</span>', dot, word)


@register.simple_tag
def swatch(slot: int) -> SafeString:
    """The colour of a category, 1 to 6 (6 is "other")."""
    return format_html(
        '<svg class="sw" viewBox="0 0 10 10" aria-hidden="true">'
        '<rect class="f{}" width="10" height="10" rx="2"/></svg>',
        slot,
    )


@register.simple_tag
def sharebar(part: float | Decimal, whole: float | Decimal, slot: int = 1) -> SafeString:
    """A small bar of `part` in `whole`, in the colour of `slot`."""
    share = min(100, 100 * Decimal(part) / Decimal(whole)) if whole else Decimal(0)
    return format_html(
        '<svg class="bar s" aria-hidden="true"><rect class="fline" width="100%" height="100%"'
        ' rx="3"/><rect class="f{}" width="{}%" height="100%" rx="3"/></svg>',
        slot,
        f"{share:.1f}",
    )


@register.simple_tag
def sparkline(values: Sequence[float | Decimal]) -> SafeString | str:
    """A line over `values`, oldest first, from 0 up; nothing under two values."""
    if len(values) < 2:
        return ""
    width, height = SPARK
    step, top = Decimal(width) / (len(values) - 1), Decimal(max(values)) or Decimal(1)
    points = " ".join(
        f"{at * step:.1f},{height - 1 - (height - 2) * Decimal(value) / top:.1f}"
        for at, value in enumerate(values)
    )
    return format_html(
        '<svg class="spark" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true">'
        '<polygon class="ar" points="0,{h} {p} {w},{h}"/><polyline class="ln" points="{p}"/></svg>',
        w=width,
        h=height,
        p=points,
    )


# The menu


@register.simple_tag(takes_context=True)
def nav_link(context: Context, page: str, icon: str, label: str, org: str = "") -> SafeString:
    """An entry of the menu, marked when its page, or a page below it, is open.

    Who may not open the page sees no entry.
    """
    if context.get("member") and not may_open(context["request"], page):
        return mark_safe("")
    url = reverse(page, kwargs={"org": org} if org else {})
    path = _path(context)
    is_root = page in {"org_home", "operator_overview"}
    here = path == url or (path.startswith(url) and not is_root)
    current = mark_safe(' aria-current="page"') if here else ""
    return format_html('<a class="nv" href="{}"{}>{}{}</a>', url, current, _icon(icon), label)


@register.simple_tag(takes_context=True)
def tab_link(context: Context, page: str, label: str, org: str, root: str = "") -> SafeString:
    """A tab, marked when its page, or one below it, is open; all others are below `root`.

    Who may not open the page sees no tab.
    """
    if not may_open(context["request"], page):
        return mark_safe("")
    url, path = reverse(page, kwargs={"org": org}), _path(context)
    here = path == url or (path.startswith(url) and page != root)
    marked = mark_safe(' active" aria-current="page') if here else ""
    return format_html('<a class="nav-link{}" href="{}">{}</a>', marked, url, label)


@register.filter
def stopped(organization: Organization) -> str:
    """Of one that is not active: what that means for its members."""
    return why_stopped(organization)


@register.simple_tag(takes_context=True)
def may(context: Context, page: str) -> bool:
    """Whether the reader has the role for `page`: `{% may "keys" as may_see %}`."""
    request: Any = context.get("request")
    return request is not None and may_open(request, page)


@register.simple_tag(takes_context=True, name="may_act")
def may_act_tag(context: Context, page: str) -> bool:
    """Whether a button to `page` is of use: where an organization is stopped few are."""
    request: Any = context.get("request")
    return request is not None and may_act(request, page)


def _path(context: Context) -> str:
    request: Any = context.get("request")
    return request.path if request else ""
