"""VAT of a month: what was invoiced and credited in it, by country and treatment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, NamedTuple

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from billing.models import CreditNote, Invoice, InvoiceState, VatTreatment
from console.exports import Rows, cell
from console.months import next_month

_ZERO: Final = Decimal(0)


class VatKey(NamedTuple):
    """What is told apart in a return: amounts of one currency at one rate."""

    currency: str
    country: str
    treatment: str
    rate: Decimal


@dataclass(frozen=True, slots=True)
class VatLine:
    """Of invoices, and of credit notes, which are taken off. `sek` is of those in another currency
    on which it stands.
    """

    key: VatKey
    invoices: int = 0
    net: Decimal = _ZERO
    vat: Decimal = _ZERO
    notes: int = 0
    credited_net: Decimal = _ZERO
    credited_vat: Decimal = _ZERO
    sek: Decimal = _ZERO
    credited_sek: Decimal = _ZERO

    @property
    def treatment(self) -> str:
        known = self.key.treatment in VatTreatment
        return str(VatTreatment(self.key.treatment).label) if known else _("Not decided")

    @property
    def taxable(self) -> Decimal:
        return self.net - self.credited_net

    @property
    def due(self) -> Decimal:
        return self.vat - self.credited_vat

    @property
    def due_sek(self) -> Decimal:
        return self.sek - self.credited_sek


class Reversed(NamedTuple):
    """What was sold to a business that pays the VAT itself: a line of the list of such sales."""

    vat_id: str
    country: str
    name: str
    currency: str
    net: Decimal


class VatReport:
    """Months are those in which documents were finalised, in UTC; void ones do not count. Four
    queries.
    """

    def __init__(self, month: date) -> None:
        start = datetime.combine(month, time(), UTC)
        end = datetime.combine(next_month(month), time(), UTC)
        self.month = month
        self._invoices: QuerySet[Invoice] = Invoice.objects.filter(
            finalised_at__gte=start, finalised_at__lt=end
        ).exclude(Q(number="") | Q(state=InvoiceState.VOID))
        self._notes: QuerySet[CreditNote] = CreditNote.objects.filter(
            issued_at__gte=start, issued_at__lt=end
        )

    @cached_property
    def lines(self) -> list[VatLine]:
        names = ("currency", "buyer__country", "vat_treatment", "vat_rate")
        sold = self._invoices.order_by().values_list(*names)
        billed = _by_key(sold.annotate(Count("pk"), Sum("subtotal"), Sum("vat_amount"), sek=_SEK))
        taken = self._notes.order_by().values_list(*(f"invoice__{name}" for name in names))
        credited = _by_key(taken.annotate(Count("pk"), Sum("net"), Sum("vat"), sek=_SEK))
        return [
            _line(key, billed.get(key, _NOTHING), credited.get(key, _NOTHING))
            for key in sorted({*billed, *credited}, key=_order)
        ]

    @cached_property
    def totals(self) -> list[VatLine]:
        """Of each currency."""
        found: dict[str, VatLine] = {}
        for line in self.lines:
            currency = line.key.currency
            blank = VatLine(VatKey(currency, "", "", _ZERO))
            found[currency] = _sum(found.get(currency, blank), line)
        return list(found.values())

    @cached_property
    def reversed(self) -> list[Reversed]:
        """By VAT id, credit notes taken off."""
        names = ("buyer__vat_id", "buyer__country", "buyer__legal_name", "currency")
        of = {"vat_treatment": VatTreatment.REVERSE_CHARGE}
        sums: dict[tuple[Any, ...], Decimal] = {}
        sold = self._invoices.filter(**of).order_by().values_list(*names)
        for *key, net in sold.annotate(Sum("subtotal")):
            sums[tuple(key)] = net
        taken = self._notes.filter(**{f"invoice__{name}": one for name, one in of.items()})
        rows = taken.order_by().values_list(*(f"invoice__{name}" for name in names))
        for *key, net in rows.annotate(Sum("net")):
            sums[tuple(key)] = sums.get(tuple(key), _ZERO) - net
        found = [(*(str(part or "") for part in key), net) for key, net in sums.items()]
        return sorted(Reversed._make(one) for one in found)

    def csv_pieces(self) -> Iterator[Rows]:
        yield [("month", "currency", "country", "treatment", "vat_rate", "invoices", "net", "vat",
                "credit_notes", "credited_net", "credited_vat", "taxable", "vat_due",
                "vat_due_sek")]  # fmt: skip
        yield [
            (f"{self.month:%Y-%m}", *map(_text, line.key), line.invoices, line.net, line.vat,
             line.notes, line.credited_net, line.credited_vat, line.taxable, line.due,
             line.due if line.key.currency == "SEK" else line.due_sek)
            for line in self.lines
        ]  # fmt: skip


class _Sums(NamedTuple):
    documents: int = 0
    net: Decimal = _ZERO
    vat: Decimal = _ZERO
    sek: Decimal = _ZERO


_NOTHING: Final = _Sums()
_SEK: Final = Sum("vat_sek", default=_ZERO)


def _line(key: VatKey, billed: _Sums, credited: _Sums) -> VatLine:
    return VatLine(
        key,
        billed.documents, billed.net, billed.vat,
        credited.documents, credited.net, credited.vat,
        billed.sek, credited.sek,
    )  # fmt: skip


def _by_key(rows: Iterable[tuple[Any, ...]]) -> dict[VatKey, _Sums]:
    return {
        VatKey(currency, country or "", treatment, rate): _Sums(*sums)
        for currency, country, treatment, rate, *sums in rows
    }


def _order(key: VatKey) -> tuple[bool, str, bool, str, str, Decimal]:
    """Euro and Sweden first."""
    return (key.currency != "EUR", key.currency, key.country != "SE", key.country,
            key.treatment, key.rate)  # fmt: skip


def _sum(one: VatLine, other: VatLine) -> VatLine:
    return VatLine(
        one.key,
        one.invoices + other.invoices,
        one.net + other.net,
        one.vat + other.vat,
        one.notes + other.notes,
        one.credited_net + other.credited_net,
        one.credited_vat + other.credited_vat,
        one.sek + other.sek,
        one.credited_sek + other.credited_sek,
    )


def _text(value: object) -> str:
    return cell(str(value))
