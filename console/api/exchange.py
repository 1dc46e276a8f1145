"""For operators: exchange rates, at which invoices in euro tell their VAT in kronor."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from billing.exchange import exchange_rate_set
from billing.models import ExchangeRate as RateRow
from console.api.callers import Operator
from console.api.operations import PlatformView, operation
from console.api.paging import Page, PagedByNumber, page_of
from console.api.projects import seconds
from console.api.reading import Name, Sent
from inference.gateway.errors import InvalidRequest

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class ExchangeRate(Struct, kw_only=True):
    """`rate` SEK for one EUR on `day`, as `source` published it."""

    object: Literal["platform.exchange_rate"] = "platform.exchange_rate"
    id: str
    day: str
    rate: str
    source: str
    entered_at: int


class ExchangeRateNew(Sent, kw_only=True):
    """Another rate of that day goes; invoices keep theirs."""

    day: Day
    rate: Annotated[Decimal, Meta(description="SEK for one EUR, six decimals at most")]
    source: Name


def rate_shown(row: RateRow) -> ExchangeRate:
    return ExchangeRate(
        id=str(row.pk),
        day=row.day.isoformat(),
        rate=str(row.rate),
        source=row.source,
        entered_at=seconds(row.entered_at),
    )


class ExchangeRatesView(PlatformView):
    route = "platform_exchange_rates"

    @operation
    def get(self, caller: Operator, query: PagedByNumber) -> Page[ExchangeRate]:
        """List the exchange rates, in the order in which they were first entered."""
        return page_of(RateRow.objects.all(), query, rate_shown)

    @operation
    def post(self, caller: Operator, body: ExchangeRateNew) -> ExchangeRate:
        """Enter the rate of a day, for the VAT in SEK on invoices in EUR."""
        try:
            day = date.fromisoformat(body.day)
        except ValueError as error:
            raise InvalidRequest("There is no such day.", param="day") from error
        made = exchange_rate_set(actor=caller.user, day=day, rate=body.rate, source=body.source)
        return rate_shown(made)
