"""The organizations of a run, what they used, and what that costs: told without the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import Final, NamedTuple
from uuid import UUID

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.utils import timezone

from billing.ledger import prepaid_top_up, promo_grant
from billing.metering import UsageRecord
from billing.models import (
    BILLED,
    LISTS,
    Component,
    Currency,
    Mode,
    Outcome,
    Rate,
    Terms,
    UsageEvent,
    VatTreatment,
)
from billing.partitions import Month
from billing.profiles import profile_set, vat_evidence_set
from tenants import services
from tenants.models import Organization, new_id

MODELS: Final = ("acme/steady", "acme/turning")
TURNS_ON: Final = 15
"""From that day of the month on the second model costs twice as much."""
PRICES: Final = {
    "input": Decimal("0.37"), "cached_input": Decimal("0.11"), "output": Decimal("1.93"),
}  # fmt: skip
PERCENT: Final[Mapping[str, Decimal]] = {
    VatTreatment.DOMESTIC: Decimal(25),
    VatTreatment.REVERSE_CHARGE: Decimal(0),
    VatTreatment.OUTSIDE: Decimal(0),
}
TIMES: Final = {Currency.EUR: 1, Currency.SEK: 11}
REQUESTS: Final = 30
LATE: Final = 4
"""So many of them come only while months are closed."""
_BEGUN: Final = timedelta(days=365)


class Kind(NamedTuple):
    """An organization, and how it buys. `country` is of its profile, if it has one."""

    name: str
    currency: str = Currency.EUR
    country: str = ""
    vat_id: str = ""
    mode: Mode = Mode.POSTPAID
    prepaid: int = 0
    promo: int = 0
    vat: str = VatTreatment.DOMESTIC


KINDS: Final = (
    Kind("nobody"),
    Kind("swede", country="SE"),
    Kind("crowns", Currency.SEK),
    Kind("crowns-two", Currency.SEK, country="SE"),
    Kind("german", country="DE", vat_id="DE136695976", vat=VatTreatment.REVERSE_CHARGE),
    Kind("german-two", country="DE", vat_id="DE129273398", vat=VatTreatment.REVERSE_CHARGE),
    Kind("american", country="US", vat=VatTreatment.OUTSIDE),
    Kind("prepaid", mode=Mode.PREPAID, prepaid=10_000),
    Kind("prepaid-two", Currency.SEK, mode=Mode.PREPAID, prepaid=100_000),
    Kind("runs-dry", mode=Mode.PREPAID, prepaid=2),
    Kind("gift", promo=3),
    Kind("gift-two", Currency.SEK, country="SE", promo=9, prepaid=9),
)


@dataclass(frozen=True)
class Customer:
    kind: Kind
    organization: Organization
    records: list[UsageRecord]

    @property
    def is_pushed(self) -> bool:
        """Whether Stripe hears of it: something is to be paid."""
        return self.kind.prepaid < 1000


class Used(NamedTuple):
    """Units of one component at one price, and their exact amount."""

    units: int
    exact: Decimal


type Part = tuple[date, str, str, Decimal]
"""A month, a model, a component, and its price."""


def month_of_usage() -> Month:
    """The last but one: what is late for it is on the invoice of the next, which has ended too."""
    return Month(Month.of(timezone.now()) - 2)


def rates_make() -> None:
    """Both models in both currencies."""
    turn = _at(month_of_usage().start, TURNS_ON)
    for model, currency, name in product(MODELS, Currency, PRICES):
        spans = [(turn - _BEGUN, turn), (turn, None)]
        for start, end in spans:
            Rate.objects.create(
                book_id=LISTS[currency], model=model, component=Component(name),
                price=price_of(model, name, currency, start), valid=DateTimeTZRange(start, end),
                unit_scale=Component(name).unit_scale, approved_at=start,
            )  # fmt: skip


def price_of(model: str, component: str, currency: str, moment: datetime) -> Decimal:
    """Of a million units."""
    has_turned = model == MODELS[1] and moment >= _at(month_of_usage().start, TURNS_ON)
    return PRICES[component] * TIMES[Currency(currency)] * (2 if has_turned else 1)


def customers_make(run: int, random: Random) -> list[Customer]:
    return [_customer(kind, run, random) for kind in KINDS]


def cost_of(event: UsageEvent, currency: str) -> Iterator[tuple[str, Decimal, Used]]:
    """By component: its price, and what of it was used."""
    if event.outcome not in BILLED:
        return
    counts = {
        "input": event.input_tokens - event.cached_tokens,
        "cached_input": event.cached_tokens,
        "output": event.output_tokens,
    }
    for name, units in counts.items():
        if units:
            price = price_of(event.model, name, currency, event.admitted_at)
            yield name, price, Used(units, price * units / 10**6)


def _customer(kind: Kind, run: int, random: Random) -> Customer:
    organization = services.organization_create(
        actor=None, name=f"{kind.name} {run}", slug=f"{kind.name}-{run}"
    )
    Terms.objects.create(organization=organization, mode=kind.mode, currency=kind.currency)
    if kind.country:
        _profile(kind, organization)
    if kind.promo:
        promo_grant(
            actor=None, organization=organization, amount=Decimal(kind.promo), expires_at=None,
            reason="Welcome", reference="one",
        )  # fmt: skip
    if kind.prepaid:
        prepaid_top_up(
            actor=None, organization=organization, amount=Decimal(kind.prepaid), reference="one"
        )
    project = services.project_create(actor=None, organization=organization, name="One")
    key = services.api_key_create(actor=None, project=project, name="One")
    records = [
        _record(organization.pk, project.pk, key.api_key.pk, random) for _each in range(REQUESTS)
    ]
    return Customer(kind, organization, records)


def _profile(kind: Kind, organization: Organization) -> None:
    profile = profile_set(
        actor=None, organization=organization, legal_name=f"{organization.name} AB",
        address="Way 1", postcode="10115", city="Town", country=kind.country, vat_id=kind.vat_id,
    )  # fmt: skip
    if kind.vat_id:
        vat_evidence_set(
            actor=None, profile=profile, is_valid=True, source="VIES", checked_at=timezone.now()
        )


def _record(organization: UUID, project: UUID, key: UUID, random: Random) -> UsageRecord:
    """Of nearly a million tokens, so that cents have parts."""
    at = _at(month_of_usage().start, random.randint(2, 27))
    at += timedelta(seconds=random.randint(0, 80_000))
    read = random.randint(0, 900_000)
    return UsageRecord(
        request_id=new_id(), organization_id=organization, project_id=project, api_key_id=key,
        model=random.choice(MODELS), backend="gpu-1", region="se-lulea",
        endpoint="/v1/chat/completions", streamed=False,
        outcome=random.choice([*[Outcome.COMPLETED] * 5, Outcome.UPSTREAM_ERROR]),
        admitted_at=at, occurred_at=at + timedelta(seconds=2), ttft_ms=80, duration_ms=2000,
        input_tokens=read, cached_tokens=random.randint(0, read),
        output_tokens=random.randint(1, 900_000),
    )  # fmt: skip


def _at(start: date, day: int) -> datetime:
    return datetime(start.year, start.month, day, tzinfo=UTC)
