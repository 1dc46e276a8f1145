"""What an answer used, took and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import ceil
from time import perf_counter
from typing import NamedTuple, Self

from django.utils import timezone
from msgspec import Struct

from billing.price_books import book_of
from billing.pricing import NO_PRICES, Prices, prices_by_model
from inference.models import Region
from tenants.models import Organization


class Terms(NamedTuple):
    """What models cost an organization, by id, and the names of regions, by code, at the moment
    of a question.
    """

    prices: Mapping[str, Prices]
    sites: Mapping[str, str]

    @classmethod
    def now(cls, organization: Organization) -> Self:
        sites = Region.objects.values_list("code", "site")
        prices = prices_by_model(timezone.now(), book_of(organization.pk))
        return cls(prices, dict(sites))


class CachedTokens(Struct, frozen=True):
    cached_tokens: int | None = None


class Counts(Struct, frozen=True):
    """`usage` as the API tells it."""

    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: CachedTokens | None = None
    seconds: float = 0

    @property
    def units(self) -> dict[str, int]:
        """By the names that prices have for them."""
        details = self.prompt_tokens_details
        return {
            "input_tokens": self.prompt_tokens,
            "cached_tokens": (details.cached_tokens or 0) if details else 0,
            "output_tokens": self.completion_tokens or 0,
            "audio_seconds": ceil(self.seconds),
        }


class Facts(Struct, frozen=True):
    """Of one answer, or the sum of several. `amount` in EUR; times in milliseconds."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: int = 0
    amount: Decimal = Decimal(0)
    ttft_ms: int | None = None
    duration_ms: int = 0
    region: str = ""
    request_id: str = ""

    @property
    def tokens_per_s(self) -> int | None:
        """Output tokens a second after the first one; None where it says nothing."""
        time_ms = self.duration_ms - (self.ttft_ms or 0)
        if self.ttft_ms is None or self.output_tokens < 2 or time_ms <= 0:
            return None
        return round(1000 * (self.output_tokens - 1) / time_ms)

    @classmethod
    def sum(cls, facts: Iterable[Self]) -> Self:
        total = cls()
        for one in facts:
            total = total._plus(one)
        return total

    def _plus(self, other: Self) -> Self:
        return type(self)(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            audio_seconds=self.audio_seconds + other.audio_seconds,
            amount=self.amount + other.amount,
        )


class Watch:
    """Takes the times of one call, from when it is made."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self.ttft_ms: int | None = None

    def first_token(self) -> None:
        if self.ttft_ms is None:
            self.ttft_ms = self._passed_ms

    @property
    def _passed_ms(self) -> int:
        return round(1000 * (perf_counter() - self._started))

    def facts(self, model: str, counts: Counts, terms: Terms, headers: Mapping[str, str]) -> Facts:
        """Of an answer that is here, with its headers."""
        region = headers.get("x-sluice-region", "")
        return Facts(
            requests=1,
            **counts.units,
            amount=terms.prices.get(model, NO_PRICES).amount(**counts.units),
            ttft_ms=self.ttft_ms,
            duration_ms=self._passed_ms,
            region=terms.sites.get(region, region),
            request_id=headers.get("x-request-id", ""),
        )
