"""Invoices: months are closed and frozen, get a number, and can be recomputed by anyone.

    open ▸ closing ▸ frozen ▸ draft ▸ (pushing ▸ pushed) ▸ finalised ▸ paid
                        └ halted          past due, uncollectible, void ┘

An invoice with a number never changes: what was wrong is taken back by a credit note.
"""

from __future__ import annotations

from billing.invoices.bundles import VERIFIER, usage_bundle, usage_csv
from billing.invoices.credit_notes import credit_note_issue, credit_note_settled, creditable
from billing.invoices.documents import credit_note_pdf, invoice_pdf
from billing.invoices.finalising import (
    SENT,
    invoice_dun,
    invoice_finalise,
    invoice_release,
    invoice_void,
    invoice_write_off,
    invoices_age,
    top_up_invoice,
)
from billing.invoices.freezing import (
    invoice_draft,
    invoice_freeze,
    invoice_halt,
)
from billing.invoices.periods import invoice_close, month_close, months_open, periods_close

__all__ = [
    "SENT",
    "VERIFIER",
    "credit_note_issue",
    "credit_note_pdf",
    "credit_note_settled",
    "creditable",
    "invoice_close",
    "invoice_draft",
    "invoice_dun",
    "invoice_finalise",
    "invoice_freeze",
    "invoice_halt",
    "invoice_pdf",
    "invoice_release",
    "invoice_void",
    "invoice_write_off",
    "invoices_age",
    "month_close",
    "months_open",
    "periods_close",
    "top_up_invoice",
    "usage_bundle",
    "usage_csv",
]
