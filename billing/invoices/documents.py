"""Invoices and credit notes on paper: PDF, set by typst, made once and kept."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import typst
from django.conf import settings

from billing.invoices.bundles import usage_bundle
from billing.models import CreditNote, Invoice, InvoiceDocument, InvoiceKind, LineKind
from billing.written import grouped, money_written
from tenants.models import Organization

_HERE: Final = Path(__file__).parent
TEMPLATE: Final = _HERE / "invoice.typ"
FONTS: Final = _HERE / "fonts"


def invoice_pdf(invoice: Invoice) -> bytes:
    """The document as it was first made. That of a draft is made anew each time, and says so."""
    if not invoice.number:
        return _typeset(invoice_facts(invoice))
    return _kept(invoice, None)


def credit_note_pdf(note: CreditNote) -> bytes:
    return _kept(note.invoice, note)


def _kept(invoice: Invoice, note: CreditNote | None) -> bytes:
    """Two that make it at the same time keep the first."""
    owned = InvoiceDocument.objects.for_organization(invoice.organization)
    found = owned.filter(invoice=invoice, note=note)
    if (kept := found.first()) is None:
        pdf = _typeset(credit_note_facts(note) if note else invoice_facts(invoice))
        made = InvoiceDocument(
            organization=invoice.organization, invoice=invoice, note=note, pdf=pdf
        )
        InvoiceDocument.objects.bulk_create([made], ignore_conflicts=True)
        kept = found.get()
    return bytes(kept.pdf)


def _typeset(facts: dict[str, Any]) -> bytes:
    made: bytes = typst.compile(
        str(TEMPLATE),
        root=str(_HERE),
        font_paths=[str(FONTS)],
        ignore_system_fonts=True,
        sys_inputs={"invoice": json.dumps(facts, ensure_ascii=False)},
    )
    return made


def invoice_facts(invoice: Invoice) -> dict[str, Any]:
    """All that stands on the paper, in words."""
    currency = invoice.currency
    bundle = usage_bundle(invoice)
    return {
        **_head(invoice),
        "title": _title(invoice),
        "number": invoice.number or "DRAFT",
        "is_draft": not invoice.number,
        "facts": _facts(invoice),
        "sections": _sections(invoice),
        "sums": [
            ["Subtotal", money_written(invoice.subtotal, currency)],
            [f"VAT {percent(invoice.vat_rate)} %", money_written(invoice.vat_amount, currency)],
        ],
        "total": ["Total" if invoice.to_pay != invoice.total else "To pay",
                  money_written(invoice.total, currency)],
        "notes": [
            note
            for note in (invoice.vat_note, _sek_note(invoice, invoice.vat_sek), _paid_note(invoice))
            if note
        ],
        "pay": _pay(invoice),
        "proof": {
            "requests": grouped(invoice.event_count), "root": invoice.root, "seal": bundle["seal"],
        } if invoice.root else None,
    }  # fmt: skip


def credit_note_facts(note: CreditNote) -> dict[str, Any]:
    invoice = note.invoice
    currency = invoice.currency
    rows = [
        {"text": line.text, "detail": "", "amount": money_written(-line.amount, currency)}
        for line in note.lines.all()
    ]
    return {
        **_head(invoice),
        "title": "Credit note",
        "number": note.number,
        "is_draft": False,
        "facts": [
            ["Date", day(note.issued_at.date())],
            ["Credits invoice", invoice.number],
            *([["Your reference", ref]] if (ref := invoice.buyer.get("reference")) else []),
        ],
        "sections": [{"title": "", "rows": rows}],
        "sums": [
            ["Subtotal", money_written(-note.net, currency)],
            [f"VAT {percent(invoice.vat_rate)} %", money_written(-note.vat, currency)],
        ],
        "total": ["Credited", money_written(-note.total, currency)],
        "notes": [
            text
            for text in (_reason(note), invoice.vat_note, _sek_note(invoice, note.vat_sek))
            if text
        ],
        "pay": None,
        "proof": None,
    }


def percent(rate: Decimal) -> str:
    return f"{rate.normalize():f}"


def day(of: date) -> str:
    return f"{of.day} {of:%B %Y}"


def _title(invoice: Invoice) -> str:
    return "Statement" if invoice.is_statement else "Invoice"


def _head(invoice: Invoice) -> dict[str, Any]:
    return {
        "site": settings.SITE_NAME,
        "seller": _seller(invoice.seller),
        "footer": _footer(invoice.seller),
        "buyer": _buyer(invoice.buyer, invoice.organization),
    }


def _facts(invoice: Invoice) -> list[list[str]]:
    facts = [["Date", day(invoice.finalised_at.date()) if invoice.finalised_at else "–"]]
    if invoice.kind == InvoiceKind.USAGE:
        facts.append(["Period", f"{invoice.period_start:%B %Y}"])
    if invoice.due_at:
        facts.append(["Due", day(invoice.due_at.date())])
    if reference := invoice.buyer.get("reference"):
        facts.append(["Your reference", reference])
    return facts


def _sections(invoice: Invoice) -> list[dict[str, Any]]:
    """Lines under their model; late ones under their month; then what is let off and paid."""
    sections = dict[str, dict[str, Any]]()
    currency = invoice.currency
    for line in invoice.lines.order_by("position"):
        title = line.model
        if line.kind == LineKind.LATE and line.month:
            title = f"Late usage from {line.month:%B %Y} · {line.model}"
        section = sections.setdefault(title, {"title": title, "rows": []})
        section["rows"].append({"text": line.text, "amount": money_written(line.amount, currency)})
    return list(sections.values())


def _reason(note: CreditNote) -> str:
    """Where its lines do not say it."""
    return "" if note.lines.filter(line=None).exists() else f"Reason: {note.reason}"


def _sek_note(invoice: Invoice, vat: Decimal | None) -> str:
    """Swedish law asks for it on invoices in another currency."""
    if vat is None or invoice.sek_rate is None or invoice.sek_rate_day is None:
        return ""
    rate, of = percent(invoice.sek_rate), day(invoice.sek_rate_day)
    return f"VAT in SEK: {grouped(vat)} at {rate} SEK for €1 of {of}, {invoice.sek_rate_source}."


def _paid_note(invoice: Invoice) -> str:
    if invoice.kind == InvoiceKind.TOP_UP:
        return "Paid. The credit is yours to use; usage of it is listed on monthly statements."
    return "Nothing to pay: your credit has paid for it." if invoice.is_statement else ""


def _pay(invoice: Invoice) -> dict[str, str] | None:
    """Where to, for one that is not paid at once."""
    iban = invoice.seller.get("iban")
    if invoice.kind != InvoiceKind.USAGE or not invoice.total or not iban:
        return None
    return {
        "iban": iban, "bic": invoice.seller.get("bic", ""), "reference": invoice.number,
        "due": day(invoice.due_at.date()) if invoice.due_at else "–",
    }  # fmt: skip


def _seller(seller: dict[str, Any]) -> list[str]:
    lines = [seller.get("legal_name", ""), *str(seller.get("address", "")).split(", ")]
    return [line for line in lines if line]


def _footer(seller: dict[str, Any]) -> list[str]:
    named = (("Registration", "registration"), ("VAT", "vat_id"), ("", "email"))
    return [f"{name} {seller[key]}".strip() for name, key in named if seller.get(key)]


def _buyer(buyer: dict[str, Any], organization: Organization) -> list[str]:
    place = " ".join(part for part in (buyer.get("postcode"), buyer.get("city")) if part)
    lines = [
        buyer.get("legal_name") or organization.name, buyer.get("address"),
        buyer.get("address_more"), place, buyer.get("country"),
        f"VAT {buyer['vat_id']}" if buyer.get("vat_id") else "",
    ]  # fmt: skip
    return [line for line in lines if line]
