"""The customers: ten kinds, and as many of each as there are places."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

COUNTRY_VAT: Final = {"SE": "25", "DE": "19", "FR": "20", "FI": "25.5"}
"""Percent; of all others none."""


class Kind(NamedTuple):
    """`pays`: `card` at a page, `bank`, `auto` by the saved card, `late` after a month in arrears,
    or `free` for nothing. `is_proven`: a VAT id that the EU has found.
    """

    name: str
    plan: str
    currency: str
    pays: str
    country: str = ""
    vat_id: str = ""
    is_business: bool = True
    is_proven: bool = False
    credit_limit: str | None = None
    has_book: bool = False

    @property
    def is_prepaid(self) -> bool:
        return self.plan in {"build", "free"}

    @property
    def profile(self) -> dict[str, Any] | None:
        if not self.country:
            return None
        return {
            "legal_name": f"{self.name} Ltd", "country": self.country, "address": "Way 1",
            "postcode": "111 22", "city": "Town", "is_business": self.is_business,
            "vat_id": self.vat_id,
        }  # fmt: skip

    def vat_rate(self, *, is_proven: bool) -> Decimal:
        """What must be charged."""
        if self.country in {"", "SE"}:
            return Decimal(COUNTRY_VAT["SE"])
        if self.country not in COUNTRY_VAT or (self.is_business and is_proven):
            return Decimal(0)
        return Decimal(COUNTRY_VAT[self.country])


KINDS: Final = (
    Kind("Studio", "scale", "EUR", "card", "SE", "SE556677889901"),
    Kind("Writer", "build", "EUR", "auto", "SE", is_business=False),
    Kind("Mill", "scale", "SEK", "bank", "SE", credit_limit="9000"),
    Kind("Werk", "enterprise", "EUR", "card", "DE", "DE136695976", is_proven=True, has_book=True),
    Kind("Atelier", "build", "EUR", "card", "FR", is_business=False),
    Kind("Lab", "build", "EUR", "auto", "US"),
    Kind("Skola", "build", "SEK", "bank", "SE"),
    Kind("Newcomer", "free", "EUR", "free"),
    Kind("Latecomer", "scale", "EUR", "late", "FI", "FI20774740", is_proven=True),
    Kind("Quiet", "free", "EUR", "free", "SE", is_business=False),
)


def cast_of(count: int) -> list[Kind]:
    return [
        kind._replace(name=f"{kind.name}{number // len(KINDS) or ''}")
        for number in range(count)
        for kind in [KINDS[number % len(KINDS)]]
    ]
