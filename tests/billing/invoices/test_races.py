"""Several at once, each race first without the lock that ends it, so that the test can fail."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from threading import Barrier, BrokenBarrierError, Event
from uuid import UUID

import pytest
from django.db import IntegrityError, connection

from billing.ingest import booking, ingest
from billing.invoices import finalising, freezing, invoice_draft, invoice_freeze, periods
from billing.ledger import invoice_book
from billing.metering import UsageRecord
from billing.models import Books, Invoice, InvoiceState, NumberSeries, UsageEvent
from tests.billing.invoices.conftest import APRIL_1, Use
from tests.billing.records import another, put
from tests.conftest import Cast
from tests.inference.gateway.conftest import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def apart[T](threads: ThreadPoolExecutor, act: Callable[[], T]) -> Future[T]:
    """In a thread and a connection of its own."""

    def run() -> T:
        try:
            return act()
        finally:
            connection.close()

    return threads.submit(run)


def is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])


def meeting(*, surely: bool) -> Callable[[], None]:
    """Where the first waits for a second: for a moment, or until it comes."""
    both = Barrier(2)

    def meet() -> None:
        with suppress(BrokenBarrierError):
            both.wait(60 if surely else 0.5)

    return meet


@pytest.mark.parametrize("is_locked", [False, True])
def test_usage_that_is_booked_while_its_month_closes_is_on_one_invoice(
    cast: Cast, use: Use, record: UsageRecord, is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    begun, go = Event(), Event()

    def pause(_months: object) -> None:
        begun.set()
        assert go.wait(120)

    def unlocked(ids: set[UUID]) -> dict[UUID, Books]:
        return Books.objects.in_bulk(ids)

    monkeypatch.setattr(booking, "partitions_make", pause)
    if not is_locked:
        monkeypatch.setattr(booking, "books_lock", unlocked)
    put(another(record))
    with ThreadPoolExecutor(2) as threads:
        booked = apart(threads, ingest)
        assert begun.wait(120)
        closed = apart(threads, lambda: periods.periods_close(APRIL_1))
        wait_until(lambda: closed.done() or is_somebody_waiting())
        go.set()
        booked.result(120)
        closed.result(120)
    events = UsageEvent.objects.for_organization(cast.acme)
    assert events.count() == 2
    lost = events.filter(billed_in=None).count() - Invoice.objects.get().event_count
    assert lost == (0 if is_locked else 1)


@pytest.mark.parametrize("is_locked", [False, True])
def test_two_that_make_an_invoice_final_give_it_one_number(
    cast: Cast, use: Use, is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    begun = periods._begin(cast.acme.pk, date(2026, 3, 1))
    draft = invoice_draft(invoice_freeze(begun, APRIL_1), APRIL_1)
    assert draft.state == InvoiceState.DRAFT
    meet = meeting(surely=not is_locked)

    def meet_and_book(invoice: Invoice) -> None:
        meet()
        invoice_book(invoice)

    monkeypatch.setattr(finalising, "invoice_book", meet_and_book)
    if not is_locked:
        monkeypatch.setattr(finalising, "invoice_lock", lambda one: Invoice.objects.get(pk=one.pk))
    with ThreadPoolExecutor(2) as threads:
        acts = [
            apart(threads, lambda: finalising.invoice_finalise(actor=None, invoice=draft))
            for _each in range(2)
        ]
        errors = [act.exception(120) for act in acts]
    assert any(isinstance(error, IntegrityError) for error in errors) is not is_locked
    assert NumberSeries.objects.get().last == 1
    assert Invoice.objects.get().number.endswith("-00001")


@pytest.mark.parametrize("is_locked", [False, True])
def test_two_workers_that_freeze_a_month_keep_its_lines_once(
    cast: Cast, use: Use, is_locked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use()
    begun = periods._begin(cast.acme.pk, date(2026, 3, 1))
    meet, lock = meeting(surely=not is_locked), freezing.invoice_lock

    def lock_and_meet(invoice: Invoice) -> Invoice:
        found = lock(invoice) if is_locked else Invoice.objects.get(pk=invoice.pk)
        meet()
        return found

    monkeypatch.setattr(freezing, "invoice_lock", lock_and_meet)
    with ThreadPoolExecutor(2) as threads:
        acts = [apart(threads, lambda: invoice_freeze(begun, APRIL_1)) for _each in range(2)]
        errors = [act.exception(120) for act in acts]
    assert any(isinstance(error, IntegrityError) for error in errors) is not is_locked
    frozen = Invoice.objects.get()
    assert (frozen.state, frozen.event_count) == (InvoiceState.FROZEN, 1)
    assert len(frozen.lines.all()) == len({line.component for line in frozen.lines.all()}) > 1
