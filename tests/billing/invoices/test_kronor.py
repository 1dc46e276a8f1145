"""Swedish VAT on invoices in euro stands on them in kronor, at a rate that an operator entered."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django.fixtures import Settings

from billing.exchange import NoRate, exchange_rate_on, exchange_rate_set, vat_in_sek
from billing.invoices import (
    credit_note_issue,
    invoice_close,
    invoice_release,
    periods_close,
    usage_bundle,
    usage_csv,
)
from billing.invoices.documents import credit_note_facts, invoice_facts
from billing.invoices.verify_invoice import seal_of, verify
from billing.models import ExchangeRate, Invoice, InvoiceState, VatTreatment
from billing.payments import payment_enter
from tenants.models import AuditEntry
from tests.billing.invoices.conftest import APRIL_1, MARCH, Use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
RATE = Decimal("11.0535")
THURSDAY = date(2026, 3, 26)


@pytest.fixture(autouse=True)
def registered(settings: Settings) -> None:
    settings.SELLER_VAT_ID = "SE556677889901"


@pytest.fixture
def rate(cast: Cast) -> ExchangeRate:
    return exchange_rate_set(actor=cast.oskar, day=THURSDAY, rate=RATE, source="Riksbank")


@pytest.fixture
def invoice(cast: Cast, use: Use, rate: ExchangeRate) -> Invoice:
    use({"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 233_333})
    return invoice_close(cast.acme, MARCH.date(), APRIL_1)


def test_the_rate_of_the_last_day_before_stands_on_the_invoice(
    cast: Cast, invoice: Invoice
) -> None:
    assert (invoice.vat_amount, invoice.vat_sek) == (Decimal("0.21"), Decimal("2.32"))
    said = "VAT in SEK: 2.32 at 11.0535 SEK for €1 of 26 March 2026, Riksbank."
    assert said in invoice_facts(invoice)["notes"]
    exchange_rate_set(actor=cast.oskar, day=THURSDAY, rate=Decimal(12), source="ECB")
    invoice.refresh_from_db()
    assert said in invoice_facts(invoice)["notes"], "it keeps the rate that it was made with"


def test_the_vat_in_kronor_is_recomputed_and_sealed(invoice: Invoice) -> None:
    right: dict[str, Any] = json.loads(json.dumps(usage_bundle(invoice)))
    usage = [line.encode() for line in usage_csv(invoice)]
    assert verify(right, usage).wrong == []
    for forged in (right | {"vat_sek": "2.33"}, right | {"sek_rate_source": "Me"}):
        assert verify(forged, usage).wrong
    resealed = right | {"vat_sek": "2.33"}
    assert verify(resealed | {"seal": seal_of(resealed)}, usage).wrong


def test_credit_notes_take_back_as_many_kronor_as_were_stated(invoice: Invoice) -> None:
    parts = [Decimal("0.10"), Decimal("0.10"), None]
    notes = [
        credit_note_issue(actor=None, invoice=invoice, reason="Sorry", amount=part)
        for part in parts
    ]
    assert sum(note.vat_sek or 0 for note in notes) == invoice.vat_sek
    assert any(note.startswith("VAT in SEK:") for note in credit_note_facts(notes[0])["notes"])


def test_without_a_rate_of_the_week_it_halts_until_one_is_entered(cast: Cast, use: Use) -> None:
    before = APRIL_1.date() - timedelta(days=8)
    exchange_rate_set(actor=None, day=before, rate=RATE, source="ECB")
    use({"input_tokens": 1_000_000})
    halted = invoice_close(cast.acme, MARCH.date(), APRIL_1)
    assert (halted.state, halted.number) == (InvoiceState.HALTED, "")
    assert "no exchange rate is entered for 2026-04-01" in halted.halted_because
    exchange_rate_set(actor=None, day=before + timedelta(days=1), rate=RATE, source="ECB")
    invoice_release(actor=cast.oskar, invoice=halted, reason="The rate is there")
    [finished] = periods_close(APRIL_1)
    assert finished.pk == halted.pk
    assert finished.vat_sek is not None


def test_a_top_up_is_credited_at_once_and_its_invoice_follows_with_the_rate(cast: Cast) -> None:
    payment = payment_enter(
        actor=cast.oskar, organization=cast.acme, amount=Decimal(125), reference="BG 1"
    )
    halted = payment.invoice
    assert halted is not None
    assert halted.state == InvoiceState.HALTED
    invoice_release(actor=cast.oskar, invoice=halted, reason="Too early")
    halted.refresh_from_db()
    assert halted.state == InvoiceState.HALTED, "there still is no rate"
    exchange_rate_set(actor=None, day=halted.period_start, rate=RATE, source="Riksbank")
    done = invoice_release(actor=cast.oskar, invoice=halted, reason="The rate is there")
    assert done.state == InvoiceState.PAID
    assert done.number
    assert (done.vat_amount, done.vat_sek) == (Decimal(25), Decimal("276.34"))
    assert done.halted_because == ""


@pytest.mark.parametrize(
    ("facts", "seller"),
    [
        ({"currency": "SEK"}, {}),
        ({"vat_amount": Decimal(0)}, {}),
        ({"vat_treatment": VatTreatment.CONSUMER}, {}),
        ({}, {"SELLER_VAT_ID": ""}),
        ({}, {"SELLER_COUNTRY": "FI"}),
    ],
)
def test_others_need_no_rate(
    settings: Settings, facts: dict[str, Any], seller: dict[str, str]
) -> None:
    usual = {"currency": "EUR", "vat_amount": Decimal(5), "vat_treatment": VatTreatment.DOMESTIC}
    with pytest.raises(NoRate):
        vat_in_sek(Invoice(**usual), THURSDAY)
    for name, value in seller.items():
        setattr(settings, name, value)
    invoice = Invoice(**usual | facts)
    vat_in_sek(invoice, THURSDAY)
    assert invoice.vat_sek is None


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("rate", Decimal("0.09")), ("rate", Decimal(1105)), ("rate", Decimal("NaN")),
        ("rate", Decimal("11.1234567")), ("source", " "), ("day", date(2999, 1, 1)),
    ],
)  # fmt: skip
def test_a_rate_that_is_none_is_refused(field: str, wrong: object) -> None:
    right: dict[str, Any] = {"day": THURSDAY, "rate": RATE, "source": "Riksbank"}
    with pytest.raises(ValidationError) as refused:
        exchange_rate_set(actor=None, **right | {field: wrong})
    assert list(refused.value.message_dict) == [field]


def test_a_rate_is_corrected_and_both_are_on_the_trail(cast: Cast, rate: ExchangeRate) -> None:
    exchange_rate_set(actor=cast.oskar, day=THURSDAY, rate=Decimal("11.06"), source="Riksbank")
    found = exchange_rate_on(THURSDAY + timedelta(days=7))
    assert found is not None
    assert found.rate == Decimal("11.06")
    assert exchange_rate_on(THURSDAY + timedelta(days=8)) is None
    assert exchange_rate_on(THURSDAY - timedelta(days=1)) is None
    told = AuditEntry.objects.filter(action="exchange_rate.set").order_by("-pk").first()
    assert told is not None
    assert (told.data["rate"], told.data["before"]) == ("11.06", "11.053500")
