"""One request: where its time went, what it used and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.models import BILLED, Component, Outcome, UsageEvent
from billing.pricing import PriceHistory, Prices, UnitPrice
from console.reports import money_places
from console.templatetags.ui import NONE
from inference.models import Region

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

FRESH: Final = timedelta(minutes=20)
"""How long after its id was made a request may still run, or wait to be booked."""

KINDS: Final[dict[str, str]] = {
    Outcome.COMPLETED: "ok",
    Outcome.CLIENT_DISCONNECT: "idle",
    Outcome.GATEWAY_CRASH: "warn",
    Outcome.TIMEOUT: "bad",
    Outcome.UPSTREAM_ERROR: "bad",
}
"""The colour of each ending."""

_WORDS: Final[dict[str, Promise]] = {
    Outcome.COMPLETED: _("All of it"),
    Outcome.CLIENT_DISCONNECT: _("What the engine counted until the stop"),
    Outcome.GATEWAY_CRASH: _("What the engine had counted when the gateway stopped"),
    Outcome.UPSTREAM_ERROR: _("Nothing"),
    Outcome.TIMEOUT: _("Nothing"),
}
LABELS: Final = {
    Component.INPUT: _("Input, not cached"),
    Component.CACHED_INPUT: _("Input, cached"),
    Component.OUTPUT: _("Output"),
    Component.AUDIO_SECOND: _("Audio, seconds"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's time, in ms from its admission, and what ended it. `slot` is its
    colour.
    """

    label: Promise
    ended_by: Promise
    start_ms: int
    end_ms: int
    slot: int

    @property
    def length_ms(self) -> int:
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One component: `units` of tokens or seconds at `price`, as `amount` EUR."""

    label: Promise
    units: int
    price: UnitPrice
    amount: Decimal

    @property
    def per(self) -> str:
        return "1 M" if self.price.unit_scale == 1_000_000 else "min"


@dataclass(frozen=True)
class RequestStory:
    """An event as its page tells it. `region` is None where its code is no longer known."""

    event: UsageEvent
    region: Region | None
    prices: Prices | None

    @property
    def kind(self) -> str:
        return KINDS[self.event.outcome]

    @property
    def billed(self) -> Promise:
        return _WORDS[self.event.outcome]

    @property
    def is_free(self) -> bool:
        return self.event.outcome not in BILLED

    @property
    def endings(self) -> list[tuple[str, StrOrPromise, Promise]]:
        """Each ending as value, word and what is billed of it."""
        return [(one.value, one.label, _WORDS[one]) for one in Outcome]

    @property
    def place(self) -> str:
        if self.region is None:
            return self.event.region or NONE
        return f"{self.region.site}, {self.region.country}"

    @property
    def places(self) -> int:
        """Decimals of its cost where that is short."""
        return money_places(self.event.amount)

    @property
    def tokens_per_s(self) -> Decimal | None:
        """Output after the first token; None where that is no speed."""
        event = self.event
        length_ms = event.duration_ms - (event.ttft_ms or 0)
        if event.ttft_ms is None or event.output_tokens < 2 or length_ms <= 0:
            return None
        return Decimal(1000 * (event.output_tokens - 1)) / length_ms

    @cached_property
    def stages(self) -> Sequence[Stage]:
        """Queued, then the engine until its first token, then the rest of the answer.

        An answer that came in one piece has one stage on the engine.
        """
        end = self.event.duration_ms
        routed = min(self.event.queued_ms, end)
        queued = Stage(_("Queued"), _("routed"), 0, routed, 3)
        if self.event.ttft_ms is None:
            return [queued, Stage(_("Answer"), _("end"), routed, end, 1)]
        first = min(max(self.event.ttft_ms, routed), end)
        return [
            queued,
            Stage(_("To the first token"), _("first token"), routed, first, 2),
            Stage(_("Rest of the answer"), _("end"), first, end, 1),
        ]

    @cached_property
    def lines(self) -> list[PriceLine]:
        """What was used, by component; none where the ending costs nothing or rates are gone."""
        if self.is_free or self.prices is None:
            return []
        lines = [
            PriceLine(LABELS[component], units, price, price.amount(units))
            for component, units in used(self.event).items()
            if units and (price := self.prices.of(component))
        ]
        return lines if sum(line.amount for line in lines) == self.event.amount else []

    @property
    def counts(self) -> list[tuple[Promise, int]]:
        """What was counted, where no price tells of it."""
        found = used(self.event).items()
        return [(LABELS[component], units) for component, units in found if units]


def used(event: UsageEvent) -> dict[Component, int]:
    """Units of each component, as they are priced."""
    return {
        Component.INPUT: event.input_tokens - event.cached_tokens,
        Component.CACHED_INPUT: event.cached_tokens,
        Component.OUTPUT: event.output_tokens,
        Component.AUDIO_SECOND: event.audio_seconds,
    }


def story_of(event: UsageEvent) -> RequestStory:
    """Its region, and the rates of its book at its admission."""
    at = event.admitted_at
    history = PriceHistory.load({event.model}, at, at, event.book_id)
    try:
        prices = history.at(event.model, at)
    except LookupError:
        prices = None
    return RequestStory(event, Region.objects.filter(pk=event.region).first(), prices)


def is_fresh(request_id: UUID) -> bool:
    """Whether the id was made by a gateway just now, so that its request may not be booked yet."""
    if request_id.version != 7:
        return False
    made = datetime.fromtimestamp((request_id.int >> 80) / 1000, UTC)
    return -timedelta(minutes=1) < timezone.now() - made < FRESH
