"""VAT of a month: what was declared stays, and all months together are what the books have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from time_machine import Traveller, travel

from billing.invoices import (
    credit_note_issue,
    invoice_close,
    invoice_void,
    invoice_write_off,
    periods_close,
)
from billing.ledger import books_check, invoices_check
from billing.models import BillingProfile, ExchangeRate, Invoice, Payment, PaymentKind, Provider
from billing.payments import Rest, invoice_credit, payment_enter
from billing.payments.booking import invoice_settle
from console.vat_report import VatReport
from tenants.models import Organization, new_id
from tests.billing import conftest as rated
from tests.billing.invoices import conftest as months
from tests.billing.ledger.reading import balances, undone
from tests.conftest import Cast
from tests.console.downloads import downloaded
from tests.console.money_rows import MoneyRows, money_made
from tests.console.operator.conftest import text_of

URL = "/operator/vat/"
use, record, rates = months.use, rated.record, rated.rates
REPORTED = [date(2026, month, 1) for month in range(4, 9)]

type Reported = dict[str, tuple[int, Decimal, Decimal]]


@pytest.fixture
def rows(cast: Cast) -> MoneyRows:
    return money_made(cast)


@pytest.fixture
def clock() -> Iterator[Traveller]:
    with travel(months.APRIL_1, tick=False) as clock:
        yield clock


@pytest.fixture
def march(cast: Cast, clock: Traveller, use: months.Use) -> list[Invoice]:
    """Of Acme with VAT, of Rival without."""
    BillingProfile.objects.create(organization=cast.rival, legal_name="Rival Inc", country="US")
    rival = {
        "organization_id": cast.rival.pk, "project_id": cast.rival_project.pk,
        "api_key_id": cast.rival_key.api_key.pk,
    }  # fmt: skip
    tokens = {"input_tokens": 1_234_567, "output_tokens": 31_234_567}
    use(tokens, tokens | rival)
    return [
        invoice_close(one, months.MARCH.date(), months.APRIL_1) for one in (cast.acme, cast.rival)
    ]


def go_to(clock: Traveller, month: date) -> None:
    clock.move_to(datetime(month.year, month.month, 15, 12, tzinfo=UTC))


def pay(invoice: Invoice, amount: Decimal) -> Payment:
    return invoice_settle(
        invoice, actor=None, amount=amount, provider=Provider.MANUAL, reference=new_id().hex,
        now=datetime.now(UTC),
    )  # fmt: skip


def reported(month: date) -> Reported:
    """Documents, net and VAT by entry, of what has a rate of VAT."""
    groups = [group for group in VatReport(month).groups if group.key.rate]
    return {
        line.entry.value: (line.sums.documents, line.sums.net, line.sums.vat)
        for group in groups
        for line in group.lines
    }


def test_vat_is_reported_by_country_with_credit_notes_as_lines_of_their_own(
    operator: Client, rows: MoneyRows
) -> None:
    report = operator.get(URL).context["report"]
    found = {group.key.treatment: (group.sums.net, group.sums.vat) for group in report.groups}
    assert found == {
        rows.invoice.vat_treatment: (90, Decimal("22.5")), "reverse_charge": (100, 0),
    }  # fmt: skip
    (sale,) = report.reversed
    assert (sale.vat_id, sale.net) == ("DE136695976", 100)
    (total,) = report.totals
    assert (total.sums.net, total.booked, total.is_booked) == (190, Decimal("22.5"), True)
    assert "The same" in text_of(operator.get(URL))
    lines = downloaded(operator.get("/operator/vat.csv")).splitlines()
    own = [line.split(",", 1)[1] for line in lines[1:]]
    assert own == [
        "EUR,SE,domestic,25.00,invoice,1,100.00,25.00,0",
        "EUR,SE,domestic,25.00,credit_note,1,-10.00,-2.50,0",
        "EUR,DE,reverse_charge,0.00,invoice,1,100.00,0.00,0",
    ]


def test_an_invoice_that_is_made_void_later_takes_off_that_month_and_not_its_own(
    march: list[Invoice], clock: Traveller
) -> None:
    april, may = REPORTED[:2]
    before = VatReport(april).groups
    go_to(clock, may)
    for invoice in march:
        invoice_void(actor=None, invoice=invoice, reason="Wrong address")
    acme = march[0]
    assert VatReport(april).groups == before
    assert reported(may) == {"void": (1, -acme.subtotal, -acme.vat_amount)}
    assert sum(group.sums.net for group in VatReport(may).groups) == -2 * acme.subtotal


def test_a_bad_debt_lowers_vat_when_it_is_written_off_and_raises_it_when_it_is_paid(
    cast: Cast, march: list[Invoice], clock: Traveller
) -> None:
    april, may, june, july = REPORTED[:4]
    acme = march[0]
    net, vat = acme.subtotal, acme.vat_amount
    assert reported(april) == {"invoice": (1, net, vat)}
    go_to(clock, may)
    for invoice in march:
        invoice_write_off(actor=None, invoice=invoice, reason="Bankrupt")
    assert reported(may) == {"write_off": (1, -net, -vat)}
    go_to(clock, june)
    acme.refresh_from_db()
    pay(acme, acme.total)
    assert reported(june) == {"recovered": (1, net, vat)}
    go_to(clock, july)
    invoice_credit(actor=cast.oskar, invoice=acme, amount=net, reason="Sorry", rest=Rest.CREDIT)
    assert reported(july) == {"credit_note": (1, -net, -vat), "invoice": (1, net, vat)}


def test_a_correction_is_in_kronor_where_its_invoice_is(
    cast: Cast, clock: Traveller, use: months.Use, settings: Settings
) -> None:
    settings.SELLER_VAT_ID = "SE556677889901"
    ExchangeRate.objects.create(day=date(2026, 4, 1), rate=Decimal(11), source="Riksbank")
    use({"output_tokens": 30_000_000})
    invoice = invoice_close(cast.acme, months.MARCH.date(), months.APRIL_1)
    go_to(clock, REPORTED[1])
    invoice_write_off(actor=None, invoice=invoice, reason="Bankrupt")
    (group,) = VatReport(REPORTED[1]).groups
    assert group.sums.sek == -(invoice.vat_sek or 0) < 0


def test_what_differs_from_the_books_is_told(march: list[Invoice], operator: Client) -> None:
    assert "Differs" not in text_of(operator.get(f"{URL}?month=2026-04"))
    forged = march[0]
    forged.pk, forged.number, forged.period_start = new_id(), "R-forged", date(2026, 1, 1)
    forged.save(force_insert=True)
    assert "Differs" in text_of(operator.get(f"{URL}?month=2026-04"))


ACTS = ("void", "credit", "credit as prepaid", "write off", "pay", "top up")
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(ACTS), st.integers(0, 1), st.integers(1, 100)),
    max_size=6,
)


@hypothesis_settings(
    max_examples=6, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(STEPS)
@example([(1, "pay", 0, 33), (1, "write off", 0, 1), (1, "credit", 0, 7), (1, "pay", 0, 100)])
@example([(1, "pay", 0, 77), (1, "credit as prepaid", 0, 50), (0, "top up", 0, 9)])
def test_all_months_are_the_books_whatever_becomes_of_invoices(
    march: list[Invoice], cast: Cast, clock: Traveller, steps: list[tuple[int, str, int, int]]
) -> None:
    """Each month is what VAT to pay has moved by, all of them its balance; and net follows VAT."""
    with undone():
        at = 0
        for later, act, of, share in steps:
            at = min(at + later, len(REPORTED) - 1)
            go_to(clock, REPORTED[at])
            try:
                _act(act, cast.oskar, (cast.acme, cast.rival)[of], share)
            except ValidationError:
                continue  # as things stand it cannot be
        reports = [VatReport(month) for month in REPORTED]
        totals = [total for report in reports for total in report.totals]
        assert all(total.is_booked for total in totals)
        assert sum(total.sums.vat for total in totals) == balances(None).get("vat_payable", 0)
        for group in (group for report in reports for group in report.groups):
            for sums in (line.sums for line in group.lines):
                differs = abs(sums.net * group.key.rate / 100 - sums.vat)
                assert differs <= Decimal("0.01") * sums.documents
        assert books_check() == invoices_check() == []
    go_to(clock, REPORTED[0])


def _act(act: str, actor: Any, organization: Organization, share: int) -> None:
    """With so many percent of the organization's newest invoice of usage."""
    invoices = Invoice.objects.for_organization(organization).filter(kind="usage")
    invoice = invoices.exclude(number="").latest("finalised_at", "number")
    part = (invoice.subtotal * share / 100).quantize(Decimal("0.01"))
    if act == "void":
        invoice_void(actor=actor, invoice=invoice, reason="Wrong")
        periods_close(datetime.now(UTC))
    elif act == "write off":
        invoice_write_off(actor=actor, invoice=invoice, reason="Bankrupt")
    elif act == "pay":
        pay(invoice, part * 2)
    elif act == "top up":
        payment = payment_enter(
            actor=actor, organization=organization, amount=part + 1, reference=new_id().hex
        )
        assert payment.kind == PaymentKind.MANUAL
    elif act == "credit as prepaid":
        invoice_credit(actor=actor, invoice=invoice, reason="Sorry", amount=part, rest=Rest.CREDIT)
    else:
        credit_note_issue(actor=actor, invoice=invoice, reason="Sorry", amount=part)
