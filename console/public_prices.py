"""What everybody may know of prices: models of the list, plans, and what things come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Final, NamedTuple

from django.db.models import Prefetch
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import LISTS, Component, Currency, Plan, Rate, RateQuerySet
from billing.price_books import prices_public
from billing.pricing import NO_PRICES, Prices
from console.offers import Offer, OfferGroup, grouped
from console.templatetags.ui import number
from inference.live import down_read
from inference.models import Deployment, Model, Task

PLACES: Final = Decimal("0.0001")


class Example(NamedTuple):
    """`place` is which of the offers of its task it names, so that not all name the same."""

    text: Promise
    task: Task
    place: int
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: int = 0


EXAMPLES: Final = (
    Example(gettext_lazy("Summarise a contract of 20 pages with %(model)s"), Task.CHAT, 0,
            12_000, 0, 600),
    Example(gettext_lazy("A support chat of 10 turns with %(model)s"), Task.CHAT, 1,
            21_000, 17_000, 1_500),
    Example(gettext_lazy("Index 10 000 pages with %(model)s"), Task.EMBEDDING, 0, 5_000_000),
    Example(gettext_lazy("Transcribe an hour of calls with %(model)s"), Task.TRANSCRIPTION, 0,
            audio_seconds=3_600),
)  # fmt: skip


class Sample(NamedTuple):
    """What something comes to; `used` says of what."""

    what: str
    used: str
    cost: Decimal


class Change(NamedTuple):
    """A price that is set for later."""

    rate: Rate
    was: Decimal | None


@dataclass(frozen=True)
class PublicPrices:
    """The list in one currency at a moment. Seven queries, however many models there are."""

    now: datetime
    currency: Currency
    search: str = ""

    @cached_property
    def currencies(self) -> list[Currency]:
        """Of the lists that have any price."""
        return [one for one in Currency if self._lists.get(one)]

    @cached_property
    def offers(self) -> list[Offer]:
        """Models for everyone that have all their prices, less those that are not looked for."""
        words = self.search.lower().split()
        return [one for one in self._all if all(word in _text(one) for word in words)]

    @property
    def groups(self) -> list[OfferGroup]:
        return grouped(self.offers)

    @property
    def samples(self) -> list[Sample]:
        """With models that there are; the cached part is billed apart, as it is."""
        return [sample for one in EXAMPLES if (sample := _sample(one, self._all))]

    @cached_property
    def changes(self) -> list[Change]:
        """What is set for later, the next first."""
        shown = {one.model.public_id: one for one in self._all}
        rates = self._rates.filter(valid__startswith__gt=self.now, model__in=shown)
        return [_change(rate, shown[rate.model]) for rate in rates.order_by("valid", "model")]

    @cached_property
    def since(self) -> datetime | None:
        """Since when all of them are as they are."""
        shown = [one.model.public_id for one in self._all]
        starts = [
            rate.valid.lower for rate in self._rates.valid_at(self.now) if rate.model in shown
        ]
        return max(starts, default=None)

    @cached_property
    def plans(self) -> list[Plan]:
        found = Plan.objects.filter(is_public=True).select_related("book")
        return [plan for plan in found if plan.currency is self.currency or not plan.book]

    @property
    def sites(self) -> list[str]:
        """Where the models run."""
        return sorted({region for offer in self._all for region in offer.regions})

    @property
    def _rates(self) -> RateQuerySet:
        return Rate.objects.approved().filter(book=LISTS[self.currency])

    @cached_property
    def _lists(self) -> Mapping[Currency, Mapping[str, Prices]]:
        return prices_public(self.now)

    @cached_property
    def _all(self) -> list[Offer]:
        prices = self._lists.get(self.currency, {})
        down = down_read()
        offers = [Offer(one, prices.get(one.public_id, NO_PRICES), down) for one in _models()]
        return [one for one in offers if one.rates.covers(one.model.components)]


def _models() -> Iterable[Model]:
    deployments = Deployment.objects.select_related("backend__region")
    found = Model.objects.enabled().filter(is_public=True).order_by("created_at", "id")
    return found.prefetch_related(Prefetch("deployments", deployments))


def _text(offer: Offer) -> str:
    model = offer.model
    said = (model.public_id, model.name, model.owned_by, model.family, model.licence)
    return " ".join((*said, *offer.tasks, *offer.capabilities)).lower()


def _sample(example: Example, offers: Sequence[Offer]) -> Sample | None:
    able = [one for one in offers if example.task in one.model.tasks]
    if not able:
        return None
    offer = able[min(example.place, len(able) - 1)]
    cost = offer.rates.amount(
        input_tokens=example.input_tokens,
        cached_tokens=example.cached_tokens,
        output_tokens=example.output_tokens,
        audio_seconds=example.audio_seconds,
    )
    shown = cost.quantize(PLACES) if cost < 1 else round(cost, 2)
    return Sample(str(example.text) % {"model": offer.model.public_id}, _used(example), shown)


def _used(example: Example) -> str:
    if example.audio_seconds:
        return _("%(minutes)s min") % {"minutes": number(example.audio_seconds // 60)}
    words = {"input": number(example.input_tokens), "cached": number(example.cached_tokens),
             "output": number(example.output_tokens)}  # fmt: skip
    if not example.output_tokens:
        return _("%(input)s in") % words
    if example.cached_tokens:
        return _("%(input)s in (%(cached)s cached), %(output)s out") % words
    return _("%(input)s in, %(output)s out") % words


def _change(rate: Rate, offer: Offer) -> Change:
    unit = offer.rates.of(Component(rate.component))
    return Change(rate, unit.price if unit else None)
