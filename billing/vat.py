"""Which VAT comes with a sale: one small table of rules. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from billing.models import VatTreatment

RATES: Final = {
    country: Decimal(rate)
    for country, rate in {
        "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25",
        "EE": "24", "ES": "21", "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27",
        "IE": "23", "IT": "22", "LT": "21", "LU": "17", "LV": "21", "MT": "18", "NL": "21",
        "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22", "SK": "23",
    }.items()
}  # fmt: skip
"""Percent: the standard rates of the members of the EU, as of 2026."""
PREFIXES: Final = {country: "EL" if country == "GR" else country for country in RATES}
"""What a VAT id of each country begins with."""


class Vat(NamedTuple):
    """`rate` is in percent. `note` is what the invoice has to say."""

    rate: Decimal
    treatment: VatTreatment
    note: str = ""


def vat_rule(
    country: str, *, is_business: bool, has_valid_id: bool, seller: str = "SE", ids: str = ""
) -> Vat:
    """What is charged to somebody in `country` by a `seller` in another, or in the same.

    A business elsewhere in the EU accounts for VAT itself only with an id that was found valid;
    without one it is charged like a consumer. `ids` is what the note tells of both sides.
    """
    if country == seller:
        return Vat(RATES[country], VatTreatment.DOMESTIC)
    if country not in RATES:
        return Vat(Decimal(0), VatTreatment.OUTSIDE, "Outside the scope of EU VAT.")
    if is_business and has_valid_id:
        note = f"Reverse charge: VAT is due by the customer (Art. 196, 2006/112/EC). {ids}"
        return Vat(Decimal(0), VatTreatment.REVERSE_CHARGE, note.strip())
    return Vat(RATES[country], VatTreatment.CONSUMER)
