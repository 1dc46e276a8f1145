"""A month ends: what was used is frozen, put on an invoice and booked."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError, connections

from billing.invoices import invoice_close, month_close, months_open, periods, periods_close
from billing.ledger import (
    AccountKey,
    Source,
    books_check,
    invoices_check,
    prepaid_top_up,
    promo_grant,
)
from billing.ledger.accounts import accounts_open
from billing.ledger.transfers import entry_of, transfers_write
from billing.metering import UsageRecord
from billing.models import (
    LIST_SEK,
    Account,
    AccountKind,
    Component,
    Currency,
    Invoice,
    InvoiceState,
    LineKind,
    PriceBook,
    UsageEvent,
)
from billing.plans import currency_set
from billing.services import rate_set
from tenants.models import new_id
from tests.billing.invoices.conftest import APRIL_1, CHANGED, CHANGING, MARCH, MAY_1, Use
from tests.billing.ledger.reading import balances
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
MANY = {"input_tokens": 3_000_000, "cached_tokens": 1_000_000, "output_tokens": 500_000}
"""1.00 of input, 0.10 of cached input, 0.75 of output."""


def closed(now: datetime = APRIL_1) -> Invoice:
    periods_close(now)
    return Invoice.objects.latest("period_start")


def test_a_month_becomes_an_invoice_with_a_line_a_component(cast: Cast, use: Use) -> None:
    use(MANY, MANY)
    invoice = closed()
    assert [(line.component, line.quantity, line.amount) for line in invoice.lines.all()] == [
        ("input", 4_000_000, Decimal("2.00")),
        ("cached_input", 2_000_000, Decimal("0.20")),
        ("output", 1_000_000, Decimal("1.50")),
    ]
    assert invoice.state == InvoiceState.FINALISED
    assert invoice.number == "R2026-00001"
    assert (invoice.subtotal, invoice.vat_amount, invoice.total) == (
        Decimal("3.70"), Decimal("0.93"), Decimal("4.63"),
    )  # fmt: skip
    assert invoice.due_at == APRIL_1 + timedelta(days=30)
    assert balances(cast.acme) == {"receivable": Decimal("-4.63")}
    ours = balances(None)
    assert ours["vat_payable"] == Decimal("0.93")
    assert books_check() == []


def test_a_price_that_changes_within_the_month_makes_two_lines(changing: None, use: Use) -> None:
    of = {**MANY, "model": CHANGING}
    use(of, {**of, "at": CHANGED})
    output = closed().lines.filter(component="output")
    assert [(line.unit_price, line.amount) for line in output] == [
        (Decimal("1.5"), Decimal("0.75")),
        (Decimal(2), Decimal("1.00")),
    ]


def test_what_comes_after_the_close_is_late_on_the_next_invoice(cast: Cast, use: Use) -> None:
    use(MANY)
    march = closed()
    use(MANY, {**MANY, "at": APRIL_1})
    assert UsageEvent.objects.filter(billed_in=date(2026, 4, 1)).count() == 1
    april = closed(MAY_1)
    assert [(line.kind, line.month) for line in april.lines.all()] == [
        *[("usage", date(2026, 4, 1))] * 3,
        *[("late", date(2026, 3, 1))] * 3,
    ]
    march.refresh_from_db()
    assert (march.event_count, april.event_count) == (1, 2)
    assert march.subtotal * 2 == april.subtotal
    assert balances(cast.acme)["receivable"] == -march.total - april.total


def test_a_closed_month_stays_as_it_is_however_often_it_is_closed(cast: Cast, use: Use) -> None:
    use(MANY)
    invoice = closed()
    before = balances(cast.acme)
    assert periods_close(APRIL_1 + timedelta(hours=1)) == []
    assert invoice_close(cast.acme, date(2026, 3, 1), APRIL_1) == invoice
    assert Invoice.objects.count() == 1
    assert balances(cast.acme) == before


def test_a_month_that_has_not_ended_is_not_closed(cast: Cast, use: Use) -> None:
    use(MANY)
    assert periods_close(MARCH) == []
    with pytest.raises(ValidationError, match="not ended"):
        invoice_close(cast.acme, date(2026, 3, 1), MARCH)


def test_whoever_closes_a_month_closes_those_before(cast: Cast, use: Use) -> None:
    use(MANY, {**MANY, "at": APRIL_1})
    invoice_close(cast.acme, date(2026, 4, 1), MAY_1)
    assert [(one.period_start.month, one.event_count) for one in Invoice.objects.all()] == [
        (4, 1), (3, 1),
    ]  # fmt: skip


def test_usage_that_credit_has_paid_for_is_a_statement_of_nothing_to_pay(
    cast: Cast, use: Use
) -> None:
    prepaid_top_up(actor=None, organization=cast.acme, amount=Decimal(10), reference="1")
    use(MANY, {"output_tokens": 3})
    invoice = closed()
    assert (invoice.total, invoice.state, invoice.number) == (
        Decimal(0), InvoiceState.PAID, "S2026-00001",
    )  # fmt: skip
    assert invoice.lines.get(kind=LineKind.PREPAID).amount == -sum(
        line.amount for line in invoice.lines.filter(kind=LineKind.USAGE)
    )
    assert set(balances(cast.acme)) == {"prepaid"}


def test_promotional_credit_lowers_what_is_to_be_paid(cast: Cast, use: Use) -> None:
    promo_grant(
        actor=None, organization=cast.acme, amount=Decimal(1), expires_at=None, reason="Welcome"
    )
    use(MANY)
    invoice = closed()
    assert invoice.lines.get(kind=LineKind.PROMO).amount == Decimal(-1)
    assert invoice.subtotal == Decimal("0.85")
    assert balances(cast.acme) == {"receivable": -invoice.total}


def test_cents_are_rounded_once_a_line_and_the_books_take_the_rest(cast: Cast, use: Use) -> None:
    use({"input_tokens": 10_000, "cached_tokens": 0, "output_tokens": 3_334})
    invoice = closed()
    exact = sum(line.exact for line in invoice.lines.all())
    assert [str(line.amount) for line in invoice.lines.all()] == ["0.01", "0.01"]
    assert balances(None)["rounding"] == invoice.subtotal - exact == Decimal("0.009999")
    assert set(balances(cast.acme)) == {"receivable"}


def rivals(cast: Cast) -> dict[str, Any]:
    return {
        "organization_id": cast.rival.pk,
        "project_id": cast.rival_project.pk,
        "api_key_id": cast.rival_key.api_key.pk,
    }


def forge(cast: Cast) -> None:
    """A request that costs what its tokens do not."""
    found = UsageEvent.objects.for_organization(cast.acme).get()
    found.request_id, found.amount = new_id(), Decimal(1)
    found.save(force_insert=True)


def test_an_invoice_that_contradicts_the_books_is_halted(cast: Cast, use: Use) -> None:
    use(MANY)
    forge(cast)
    invoice = closed()
    assert invoice.state == InvoiceState.HALTED
    assert "not what it costs" in invoice.halted_because
    assert not invoice.number
    assert set(balances(cast.acme)) == {"unbilled"}


def test_one_organization_that_is_halted_keeps_no_other_from_its_invoice(
    cast: Cast, use: Use
) -> None:
    use(MANY, MANY | rivals(cast))
    forge(cast)
    assert [one.organization for one in periods_close(APRIL_1)] == [cast.rival]
    assert Invoice.objects.get(number="R2026-00001").organization == cast.rival


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_without_postgresql_no_other_invoice_is_tried_until_the_next_run(
    cast: Cast, use: Use, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(MANY, MANY | rivals(cast))
    tried = list[Invoice]()

    def away(invoice: Invoice, now: datetime) -> Invoice:
        tried.append(invoice)
        raise error("the connection is closed")

    postgresql = type(connections["default"])
    with monkeypatch.context() as patch:
        patch.setattr(periods, "invoice_freeze", away)
        patch.setattr(postgresql, "is_usable", lambda self: False)
        with pytest.raises(error):
            periods_close(APRIL_1)
        assert len(tried) == 1
        patch.setattr(postgresql, "is_usable", lambda self: True)
        assert periods_close(APRIL_1) == [], "a deadlock of one, or a limit, stops no other"
        assert len(tried) == 3
    assert len(periods_close(APRIL_1)) == 2


def test_an_organization_in_kronor_is_invoiced_in_kronor(
    cast: Cast, record: UsageRecord, use: Use
) -> None:
    lists = {"slug": "list-sek", "name": "List", "currency": Currency.SEK}
    book, _is_new = PriceBook.objects.get_or_create(pk=LIST_SEK, defaults=lists)
    currency_set(actor=cast.oskar, organization=cast.acme, currency=Currency.SEK)
    for component in (Component.INPUT, Component.CACHED_INPUT, Component.OUTPUT):
        rate_set(
            actor=None, model=record.model, component=component, price=Decimal(10),
            valid_from=MARCH, book=book,
        )  # fmt: skip
    use({"output_tokens": 1_000_000, "at": MARCH})
    invoice = closed()
    assert (invoice.currency, invoice.subtotal) == ("SEK", Decimal("10.01"))
    assert invoice.lines.get(component="output").text == (
        "1\u2009000\u2009000 output tokens × SEK\u200910.00 / 1 M"
    )
    assert set(Account.objects.values_list("currency", flat=True)) == {"SEK"}
    assert books_check() == invoices_check() == []


def test_no_transfer_is_between_currencies(cast: Cast) -> None:
    accounts = accounts_open([
        AccountKey(None, AccountKind.BANK, currency=currency) for currency in ("EUR", "SEK")
    ])  # fmt: skip
    euros, kronor = accounts.values()
    entry = entry_of(Source("payout", "1", "payout"), euros, kronor, Decimal(1))
    with pytest.raises(IntegrityError, match="one currency"):
        transfers_write([entry])


def test_a_month_is_closed_by_hand_before_it_ends_and_goes_on_next_month(
    cast: Cast, use: Use
) -> None:
    use(MANY)
    begun = month_close(
        actor=cast.oskar, organization=cast.acme, month=MARCH.date().replace(day=1),
        reason="They leave", now=MARCH,
    )  # fmt: skip
    assert begun.state == InvoiceState.CLOSING
    use(MANY)  # what was under way
    (march,) = periods_close(MARCH)
    assert (march, march.event_count, march.subtotal) == (begun, 1, Decimal("1.85"))
    assert periods_close(APRIL_1) == []
    (april,) = periods_close(MAY_1)
    assert {(line.kind, line.month) for line in april.lines.all()} == {("late", date(2026, 3, 1))}
    assert books_check() == invoices_check() == []


def test_a_month_is_closed_by_hand_with_those_before_it(cast: Cast, use: Use) -> None:
    use(MANY, {**MANY, "at": APRIL_1})
    assert months_open(cast.acme, APRIL_1) == [date(2026, 3, 1), date(2026, 4, 1)]
    month_close(
        actor=cast.oskar, organization=cast.acme, month=date(2026, 4, 1), reason="x", now=APRIL_1
    )
    assert [one.period_start.month for one in periods_close(APRIL_1)] == [3, 4]
    assert months_open(cast.acme, APRIL_1) == []
