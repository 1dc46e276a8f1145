"""What the operator's pages of money are about, for those who try every page."""

from __future__ import annotations

from uuid import UUID

from tests.conftest import Cast
from tests.console.money_rows import money_made

type Place = str | UUID | int

OF_INVOICE = (
    "operator_invoice", "operator_invoice_finalise", "operator_invoice_release",
    "operator_invoice_void", "operator_invoice_write_off", "operator_credit_note",
    "operator_invoice_payment", "operator_invoice_pdf", "operator_invoice_usage",
)  # fmt: skip
OF_BOOK = ("operator_price_book", "operator_price_book_edit", "operator_price_tiers")
OF_ACME = (
    "operator_organization_plan", "operator_organization_book", "operator_organization_currency",
    "operator_organization_vat",
    "operator_organization_month",
)  # fmt: skip


def money_places(cast: Cast) -> dict[str, dict[str, Place]]:
    rows = money_made(cast)
    note = rows.invoice.credit_notes.get()
    payment: dict[str, Place] = {"payment": rows.payment.pk}
    rate: dict[str, Place] = {"rate": rows.proposal.pk}
    item: dict[str, Place] = {"item": rows.call.pk}
    event: dict[str, Place] = {"event": rows.event.pk}
    transfer: dict[str, Place] = {"transfer": rows.usage.pk}
    invoice: dict[str, Place] = {"invoice": rows.invoice.pk}
    book: dict[str, Place] = {"book": rows.book.slug}
    acme: dict[str, Place] = {"org": "acme"}
    return {
        **dict.fromkeys(OF_INVOICE, invoice),
        **dict.fromkeys(OF_BOOK, book),
        **dict.fromkeys(OF_ACME, acme),
        "operator_price": {"book": rows.book.slug, "model": "acme/tiny"},
        "operator_backend_cost": {"backend": "gpu-1"},
        "operator_rate_approve": rate,
        "operator_rate_withdraw": rate,
        "operator_credit_note_pdf": {"note": note.pk},
        "operator_payment": payment,
        "operator_payment_refund": payment,
        "operator_payment_excess": payment,
        "operator_refund_again": {"refund": rows.refund.pk},
        "operator_outbox_item": item,
        "operator_outbox_retry": item,
        "operator_webhook": event,
        "operator_webhook_replay": event,
        "operator_transfer": transfer,
        "operator_transfer_events": transfer,
    }
