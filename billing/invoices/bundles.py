"""What a customer gets to recompute an invoice: its requests, its numbers, and the program."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from billing.invoices.requests import HEADER, requests_of
from billing.models import Invoice, InvoiceKind, InvoiceLine

VERIFIER: Final = Path(__file__).with_name("verify_invoice.py")
"""It stands alone: one file, the standard library."""
_LINE: Final = (
    "position", "kind", "month", "model", "component", "quantity", "unit_price", "unit_scale",
    "exact", "amount", "text", "root",
)  # fmt: skip
_INVOICE: Final = (
    "number", "kind", "period_start", "period_end", "currency", "subtotal", "vat_rate",
    "vat_amount", "vat_treatment", "vat_note", "total", "root", "event_count", "seller", "buyer",
)  # fmt: skip
_SEK: Final = ("vat_sek", "sek_rate", "sek_rate_day", "sek_rate_source")
"""Of those that have it alone: the seals of others stay what they are."""


def usage_csv(invoice: Invoice) -> Iterator[str]:
    """Its requests, a line each, as they were hashed when it was frozen."""
    yield ",".join(HEADER) + "\n"
    if invoice.kind == InvoiceKind.USAGE:
        for request in requests_of(invoice):
            yield request.line.decode() + "\n"


def usage_bundle(invoice: Invoice) -> dict[str, Any]:
    """The numbers that `verify_invoice.py` recomputes; amounts are strings. `seal` is over it."""
    lines = InvoiceLine.objects.for_organization(invoice.organization).filter(invoice=invoice)
    names = _INVOICE if invoice.vat_sek is None else _INVOICE + _SEK
    bundle = {
        "format": "sluice-invoice-1",
        **{name: _plain(getattr(invoice, name)) for name in names},
        "lines": [
            {name: _plain(getattr(line, name)) for name in _LINE}
            for line in lines.order_by("position")
        ],
    }
    return bundle | {"seal": seal_of(bundle)}


def seal_of(bundle: dict[str, Any]) -> str:
    """Stands on the PDF, so that neither it nor the bundle can be another's."""
    text = json.dumps(bundle, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if hasattr(value, "isoformat") else value
