"""What the pages of billing are about, one of each, for those who try every page."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from billing.invoices import credit_note_issue
from billing.models import CreditNote, Invoice, InvoiceDocument, Payment, Plan
from billing.payments import payment_enter
from billing.profiles import profile_set
from tests.conftest import Cast

type Place = str | UUID | int

OF_INVOICE = ("invoice", "invoice_pdf", "invoice_usage", "invoice_bundle")
OF_PAYMENT = ("top_up_payment", "payment_confirm")


def billing_places(cast: Cast) -> dict[str, dict[str, Place]]:
    """A top-up of Acme with its invoice, and a credit note of it."""
    payment = top_up(cast, "125", "bank 1")
    invoice = Invoice.objects.get(payments=payment)
    note = credit_note_issue(
        actor=cast.oskar, invoice=invoice, amount=Decimal(10), reason="Too much"
    )
    _documents(invoice, note)
    Plan.objects.filter(slug="build").update(is_public=True)
    acme: dict[str, Place] = {"org": "acme"}
    return {
        **dict.fromkeys(OF_INVOICE, acme | {"invoice": invoice.pk}),
        **dict.fromkeys(OF_PAYMENT, acme | {"payment": payment.pk}),
        "credit_note_pdf": acme | {"note": note.pk},
        "plan_choose": acme | {"plan": "build"},
    }


def top_up(cast: Cast, total: str, reference: str) -> Payment:
    """Credit that came by bank, for a customer with an address."""
    profile_set(
        actor=cast.olivia, organization=cast.acme, legal_name="Acme AB", country="SE",
        address="Gatan 1", postcode="111 22", city="Stockholm",
        vat_id="SE556677889901", email="invoices@acme.test", reference="PO-88213",
    )  # fmt: skip
    return payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(total), reference=reference
    )


def _documents(invoice: Invoice, note: CreditNote) -> None:
    """So that nobody who only opens pages waits for them to be set."""
    for of in (None, note):
        InvoiceDocument.objects.create(
            organization=invoice.organization, invoice=invoice, note=of, pdf=b"%PDF-",
            made_at=timezone.now(),
        )  # fmt: skip
