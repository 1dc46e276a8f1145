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
COUNTRIES: Final = frozenset("""
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ
    BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM
    DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS
    GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ
    MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
    PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
    VN VU WF WS YE YT ZA ZM ZW
""".split())  # fmt: skip  # noqa: SIM905
"""ISO 3166. Whoever is in none of them mistyped, and is not outside the EU for that."""


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
