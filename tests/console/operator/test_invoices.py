"""Invoices by state, and the acts on one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from billing import tasks
from billing.invoices import invoice_close
from billing.ledger import wallet_read
from billing.models import BillingProfile, CreditNoteState, Invoice, InvoiceState, Refund
from tests.billing import conftest as rated
from tests.billing.invoices import conftest as months
from tests.conftest import Cast
from tests.console.downloads import downloaded
from tests.console.money_rows import MoneyRows, money_made
from tests.console.operator.conftest import text_of
from tests.console.reasons import reason_given

URL = "/operator/invoices/"
use, record, rates = months.use, rated.record, rated.rates


@pytest.fixture
def rows(cast: Cast) -> MoneyRows:
    return money_made(cast)


@pytest.fixture
def march(cast: Cast, use: Callable[..., None]) -> Invoice:
    """An invoice of two requests, to be paid."""
    BillingProfile.objects.create(organization=cast.acme, legal_name="Acme AB", country="SE")
    use({}, {"output_tokens": 30_000_000})
    return invoice_close(cast.acme, months.MARCH.date(), months.APRIL_1)


def test_invoices_are_listed_by_state(operator: Client, rows: MoneyRows) -> None:
    assert "No invoice is like this." in text_of(operator.get(f"{URL}?state=halted"))
    page = text_of(operator.get(f"{URL}?state=past_due"))
    assert "S-2026-0007" in page
    assert rows.invoice.number not in page
    (due,) = operator.get(URL).context["due"]
    assert (due.currency, due.open, due.late) == ("EUR", 100, 100)


def test_without_invoices_the_page_says_when_there_will_be_some(operator: Client) -> None:
    assert "No invoices yet." in text_of(operator.get(URL))


def test_an_invoice_shows_its_lines_and_the_acts_that_it_allows(
    operator: Client, march: Invoice
) -> None:
    answer = operator.get(f"{URL}{march.pk}/")
    page = text_of(answer)
    for line in march.lines.all():
        assert line.text.replace("\u2009", " ") in page
    acts = ("finalise", "release", "pay", "credit", "void", "write_off")
    allowed = [act for act in acts if answer.context[f"may_{act}"]]
    assert allowed == ["pay", "credit", "void", "write_off"]
    pdf = operator.get(f"{URL}{march.pk}.pdf")
    assert pdf.content.startswith(b"%PDF-")
    assert operator.get(f"{URL}{march.pk}/usage.csv").status_code == 302  # asks why


def test_its_requests_are_read_for_a_reason(operator: Client, cast: Cast, march: Invoice) -> None:
    reason_given(operator, cast.acme)
    answer = operator.get(f"{URL}{march.pk}/usage.csv")
    assert len(downloaded(answer).splitlines()) == 3


def test_a_credit_note_and_a_payment_by_bank_settle_an_invoice(
    operator: Client, march: Invoice
) -> None:
    page = f"{URL}{march.pk}/"
    part = {"amount": "10", "reason": "An hour of errors"}
    assert operator.post(f"{page}credit-note/", part).status_code == 302
    left = operator.get(f"{page}payment/").context["form"].initial["amount"]
    assert left == march.total - Decimal("12.50")

    operator.post(f"{page}payment/", {"amount": str(left), "reference": "BG 9"})

    march.refresh_from_db()
    assert [march.state, march.to_pay] == [InvoiceState.PAID, 0]
    (note,) = march.credit_notes.all()
    more = {"amount": "5", "reason": "Another"}
    assert operator.post(f"{page}credit-note/", more).status_code == 422, "say where it goes"
    assert operator.post(f"{page}credit-note/", more | {"rest": "back"}).status_code == 302
    assert [(one.total, one.state) for one in Refund.objects.all()] == [(Decimal("6.25"), "done")]
    assert march.credit_notes.latest("number").state == CreditNoteState.REFUNDED
    assert operator.post(f"{page}credit-note/", more | {"rest": "credit"}).status_code == 302
    assert march.credit_notes.latest("number").state == CreditNoteState.PREPAID
    assert wallet_read([march.organization_id])[march.organization_id].prepaid == 5
    assert operator.get(f"/operator/credit-notes/{note.pk}.pdf").content.startswith(b"%PDF-")


def test_an_invoice_that_halted_goes_on_and_one_that_is_wrong_is_void(
    operator: Client, march: Invoice
) -> None:
    page = f"{URL}{march.pk}/"
    assert "not halted" in text_of(operator.post(f"{page}release/", {"reason": "Looked"}))
    assert operator.post(f"{page}void/", {"reason": ""}).status_code == 422

    operator.post(f"{page}void/", {"reason": "Of a test"})

    march.refresh_from_db()
    assert march.state == InvoiceState.VOID
    assert operator.post(f"{page}finalise/").status_code == 302  # has its number already


def test_what_nobody_will_pay_is_written_off(operator: Client, rows: MoneyRows) -> None:
    operator.post(f"{URL}{rows.late.pk}/write-off/", {"reason": "Bankrupt"})
    rows.late.refresh_from_db()
    assert rows.late.state == InvoiceState.UNCOLLECTIBLE


def test_exchange_rates_are_entered_and_what_is_none_is_refused(operator: Client) -> None:
    page = "/operator/vat/rates/"
    assert "No rates yet." in text_of(operator.get(page))
    rate = {"day": "2026-03-26", "rate": "11.0535", "source": "Riksbank"}
    refused = operator.post(f"{page}add/", rate | {"rate": "0.09"})
    assert refused.status_code == 422
    assert "as in 11.0535" in text_of(refused)
    assert operator.post(f"{page}add/", rate).status_code == 302
    shown = text_of(operator.get(page))
    assert "26 Mar 2026" in shown
    assert "11.053 5" in shown
    assert "Riksbank" in shown


def test_a_month_is_closed_before_it_ends(
    operator: Client, cast: Cast, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "close_old_connections", lambda: None)
    sheet = "/operator/organizations/acme/month/"
    assert "invoiced already" in text_of(operator.get(sheet))
    now = timezone.now()
    month = now.date().replace(day=1)
    use({"output_tokens": 30_000_000, "at": now})
    typed = {"month": month.isoformat(), "reason": "They leave"}
    assert operator.post(sheet, typed | {"month": "2020-01-01"}).status_code == 422

    assert operator.post(sheet, typed).status_code == 302

    invoice = Invoice.objects.get()
    assert (invoice.period_start, invoice.event_count, bool(invoice.number)) == (month, 1, True)
