"""VAT of a month: what was invoiced in it, and what was corrected, by country and treatment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import Any, Final, NamedTuple

from django.db import connection, models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import VatTreatment
from console.currencies import in_order
from console.exports import Rows, cell
from console.months import next_month

_ZERO: Final = Decimal(0)

# By how much VAT to pay and bad debts have grown, and for what.
_MOVED: Final = """
WITH ours AS (
    SELECT id, kind, currency FROM billing_account
    WHERE organization_id IS NULL AND kind IN ('vat_payable', 'bad_debt')
), moved AS (
    SELECT source_type, source_id, code, ours.kind, ours.currency, amount
    FROM ours JOIN billing_transfer transfer ON transfer.credit_id = ours.id
    WHERE transfer.created_at >= %(start)s AND transfer.created_at < %(end)s
    UNION ALL
    SELECT source_type, source_id, code, ours.kind, ours.currency, -amount
    FROM ours JOIN billing_transfer transfer ON transfer.debit_id = ours.id
    WHERE transfer.created_at >= %(start)s AND transfer.created_at < %(end)s
)
"""
_BOOKED: Final = f"""{_MOVED}
SELECT currency, sum(amount) FROM moved WHERE kind = 'vat_payable' GROUP BY 1
"""  # noqa: S608 - of constants

# Documents count by their own day, credit that was bought by the day of its payment; what became of
# them later by the day when it was booked. Of a sale without VAT a bad debt changes nothing.
_ENTRIES: Final = f"""{_MOVED}
, lost AS (
    SELECT source_type, source_id, code,
        COALESCE(sum(amount) FILTER (WHERE kind = 'bad_debt'), 0) AS net,
        COALESCE(sum(amount) FILTER (WHERE kind = 'vat_payable'), 0) AS vat
    FROM moved WHERE code IN ('write_off', 'recovered') GROUP BY 1, 2, 3
), entry AS (
    SELECT 'invoice' AS name, id AS invoice_id, subtotal AS net, vat_amount AS vat, vat_sek AS sek
    FROM billing_invoice
    WHERE kind = 'usage' AND number <> '' AND finalised_at >= %(start)s AND finalised_at < %(end)s
        OR kind = 'top_up' AND period_start >= %(first)s AND period_start < %(next)s
    UNION ALL
    SELECT 'void', id, -subtotal, -vat_amount, -vat_sek
    FROM billing_invoice gone WHERE state = 'void' AND number <> '' AND EXISTS (
        SELECT FROM billing_transfer
        WHERE source_type = 'invoice' AND source_id = gone.id::text AND code LIKE 'void %%'
            AND created_at >= %(start)s AND created_at < %(end)s
    )
    UNION ALL
    SELECT 'credit_note', invoice_id, -net, -vat, -vat_sek
    FROM billing_creditnote WHERE issued_at >= %(start)s AND issued_at < %(end)s
    UNION ALL
    SELECT lost.code, invoice.id, lost.net, lost.vat,
        invoice.vat_sek * lost.vat / invoice.vat_amount
    FROM lost JOIN billing_invoice invoice ON invoice.vat_amount > 0
        AND invoice.id = CASE lost.source_type
            WHEN 'write_off' THEN lost.source_id::uuid
            WHEN 'credit_note' THEN (
                SELECT invoice_id FROM billing_creditnote WHERE id = lost.source_id::uuid
            ) ELSE (
                SELECT invoice_id FROM billing_payment
                WHERE kind = 'invoice' AND provider || ':' || reference = lost.source_id LIMIT 1
            ) END
)
SELECT currency, COALESCE(buyer->>'country', ''), vat_treatment, vat_rate, entry.name,
    CASE vat_treatment WHEN 'reverse_charge' THEN COALESCE(buyer->>'vat_id', '') ELSE '' END,
    CASE vat_treatment WHEN 'reverse_charge' THEN COALESCE(buyer->>'legal_name', '') ELSE '' END,
    count(*), sum(entry.net), sum(entry.vat), COALESCE(sum(round(entry.sek, 2)), 0)
FROM entry JOIN billing_invoice invoice ON invoice.id = entry.invoice_id
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""  # noqa: S608 - of constants


class VatEntry(models.TextChoices):
    """What adds to a month or takes off it."""

    INVOICE = "invoice", gettext_lazy("Invoices")
    VOID = "void", gettext_lazy("Made void")
    CREDIT_NOTE = "credit_note", gettext_lazy("Credit notes")
    BAD_DEBT = "write_off", gettext_lazy("Written off")
    RECOVERED = "recovered", gettext_lazy("Settled after it was written off")


class VatKey(NamedTuple):
    """What is told apart in a return: amounts of one currency at one rate."""

    currency: str
    country: str
    treatment: str
    rate: Decimal

    @property
    def treatment_label(self) -> str:
        known = self.treatment in VatTreatment
        return str(VatTreatment(self.treatment).label) if known else _("Not decided")


@dataclass(frozen=True, slots=True)
class VatSums:
    """Below 0 for what is taken off. `sek` is the VAT of those in another currency that say it."""

    documents: int = 0
    net: Decimal = _ZERO
    vat: Decimal = _ZERO
    sek: Decimal = _ZERO

    def __add__(self, other: VatSums) -> VatSums:
        return VatSums(
            self.documents + other.documents,
            self.net + other.net,
            self.vat + other.vat,
            self.sek + other.sek,
        )


class VatLine(NamedTuple):
    entry: VatEntry
    sums: VatSums


class VatGroup(NamedTuple):
    """The lines of a key, in the order of entries."""

    key: VatKey
    lines: list[VatLine]

    @property
    def sums(self) -> VatSums:
        return _added(line.sums for line in self.lines)


class VatTotal(NamedTuple):
    """Of a currency. `booked` is by how much its VAT to pay has grown in the books."""

    currency: str
    sums: VatSums
    booked: Decimal

    @property
    def is_booked(self) -> bool:
        return self.sums.vat == self.booked


class Reversed(NamedTuple):
    """What was sold to a business that pays the VAT itself: a line of the list of such sales."""

    vat_id: str
    country: str
    name: str
    currency: str
    net: Decimal


class VatReport:
    """A month of UTC. One that is over stays as it is: later corrections are of later months.

    Two queries.
    """

    def __init__(self, month: date) -> None:
        self.month = month
        first, after = month, next_month(month)
        start, end = (datetime.combine(day, time(), UTC) for day in (first, after))
        self._span = {"first": first, "next": after, "start": start, "end": end}

    @cached_property
    def groups(self) -> list[VatGroup]:
        found: dict[VatKey, dict[VatEntry, VatSums]] = {}
        for key, entry, _buyer, sums in self._rows:
            of_key = found.setdefault(key, {})
            of_key[entry] = of_key.get(entry, VatSums()) + sums
        return [
            VatGroup(key, [VatLine(one, found[key][one]) for one in VatEntry if one in found[key]])
            for key in sorted(found, key=_order)
        ]

    @cached_property
    def totals(self) -> list[VatTotal]:
        """Of each currency in which something was sold or booked."""
        sums = {
            currency: _added(group.sums for group in of_one)
            for currency, of_one in groupby(self.groups, key=lambda group: group.key.currency)
        }
        booked = self._booked
        return [
            VatTotal(one, sums.get(one, VatSums()), booked.get(one, _ZERO))
            for one in in_order({*sums, *booked})
        ]

    @cached_property
    def reversed(self) -> list[Reversed]:
        """By VAT id, with what was taken back."""
        sums: dict[tuple[str, str, str, str], Decimal] = {}
        for key, _entry, (vat_id, name), of_one in self._rows:
            if key.treatment == VatTreatment.REVERSE_CHARGE:
                sale = (vat_id, key.country, name, key.currency)
                sums[sale] = sums.get(sale, _ZERO) + of_one.net
        return sorted(Reversed(*sale, net) for sale, net in sums.items())

    def csv_pieces(self) -> Iterator[Rows]:
        yield [("month", "currency", "country", "treatment", "vat_rate", "entry", "documents",
                "net", "vat", "vat_sek")]  # fmt: skip
        yield [
            (f"{self.month:%Y-%m}", *(cell(str(part)) for part in group.key), entry.value,
             sums.documents, sums.net, sums.vat,
             sums.vat if group.key.currency == "SEK" else sums.sek)
            for group in self.groups
            for entry, sums in group.lines
        ]  # fmt: skip

    @cached_property
    def _rows(self) -> list[tuple[VatKey, VatEntry, tuple[str, str], VatSums]]:
        """Of each key and entry, and with reverse charge of each buyer's VAT id and name."""
        return [
            (VatKey(*row[:4]), VatEntry(row[4]), (row[5], row[6]), VatSums(*row[7:]))
            for row in _asked(_ENTRIES, self._span)
        ]

    @cached_property
    def _booked(self) -> dict[str, Decimal]:
        return dict(_asked(_BOOKED, self._span))


def _asked(query: str, facts: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, facts)
        return list(cursor.fetchall())


def _added(sums: Iterable[VatSums]) -> VatSums:
    return sum(sums, VatSums())


def _order(key: VatKey) -> tuple[bool, str, bool, str, str, Decimal]:
    """Euro and Sweden first."""
    return (key.currency != "EUR", key.currency, key.country != "SE", key.country,
            key.treatment, key.rate)  # fmt: skip
