"""Background work on money."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from celery import shared_task
from django.db import close_old_connections
from django.utils import timezone
from redis.exceptions import LockError

from billing import payments, seeding, vies
from billing.alerts import alerts_tell
from billing.erasure import organizations_erase
from billing.ingest import LANES, dead_retry, ingest
from billing.invoices import invoices_age, periods_close
from billing.ledger import check, pendings_expire, promo_expire
from billing.models import ModelHalt
from billing.partitions import partitions_tend
from billing.plans import promo_monthly_grant
from billing.reconcile import reconcile
from tenants.valkey import client

LOCK_S: Final = 15
PAYMENTS_LOCK_S: Final = 60
WORTHWHILE: Final = 500
"""A batch costs much the same whatever is in it: after one of fewer the next beat is waited for."""
RETRIED_AFTER_RELEASE: Final = timedelta(hours=1)

log = structlog.get_logger()


@shared_task
def usage_ingest() -> None:
    """Book the usage that waits: of each lane in turn, unless another run is at it.

    When more comes than one run can book, the next beat's takes the other lane.
    """
    close_old_connections()
    for lane in LANES:
        lock = client().lock(f"ingest:lock:{lane[0]}", timeout=LOCK_S, blocking=False)
        if lock.acquire():
            try:
                while ingest(streams=lane) >= WORTHWHILE:
                    lock.reacquire()
            finally:
                lock.release()


@shared_task
def dead_usage_retry() -> None:
    """Book what waited for the price of a model, once that is released."""
    close_old_connections()
    since = timezone.now() - RETRIED_AFTER_RELEASE
    if ModelHalt.objects.filter(released_at__gte=since).exists():
        dead_retry()


@shared_task
def usage_partitions_tend() -> None:
    """Have the months to come, and drop those that are old enough."""
    close_old_connections()
    partitions_tend()


@shared_task
def accounts_tend() -> None:
    """Set the counters of money from the books again, and end what gateways left behind."""
    close_old_connections()
    seeding.accounts_tend()


@shared_task
def budget_alerts_tell() -> None:
    """Tell of the budgets that reached a threshold."""
    close_old_connections()
    alerts_tell()


@shared_task
def credit_expire() -> None:
    """Credit whose time is over is ours again, and what was set apart too long is free."""
    close_old_connections()
    now = timezone.now()
    promo_expire(now)
    pendings_expire(now)


@shared_task
def promo_monthly_give() -> None:
    """Give each organization what its plan gives each month."""
    close_old_connections()
    promo_monthly_grant(timezone.now())


@shared_task
def vat_ids_check() -> None:
    """Ask the EU about VAT ids."""
    close_old_connections()
    vies.vat_ids_check(timezone.now())


@shared_task
def months_close() -> None:
    """Close months that have ended, and say which invoices are past due."""
    close_old_connections()
    now = timezone.now()
    periods_close(now)
    invoices_age(now)


@shared_task
def books_verify() -> None:
    """Look through the books each night; the metering page shows what came out."""
    close_old_connections()
    check.books_verify()


@shared_task
def usage_reconcile() -> None:
    """Compare sums with their events, and our counts with the engines'."""
    close_old_connections()
    reconcile()


@shared_task
def deleted_organizations_erase() -> None:
    """Take away who their people were, once nobody can restore them any more."""
    close_old_connections()
    organizations_erase()


@shared_task
def payments_work() -> None:
    """What people and Stripe wait for: begin, send, look at what it told, and follow outages.

    One run at a time: while Stripe is slow, it keeps one worker busy and no more.
    """
    close_old_connections()
    lock = client().lock("payments:lock", timeout=PAYMENTS_LOCK_S, blocking=False)
    if not lock.acquire():
        return
    now = timezone.now()
    steps: tuple[Callable[[], object], ...] = (
        partial(payments.auto_top_ups_step, now),
        partial(payments.invoices_push, now),
        partial(payments.corrections_push, now),
        payments.outbox_send,
        partial(payments.events_catch_up, now),
        payments.inbox_work,
    )
    try:
        for step in steps:
            _tried(step)
    finally:
        with suppress(LockError):  # it took longer than that, and another began
            lock.release()


def _tried(step: Callable[[], object]) -> None:
    """What one customer has broken is not to keep the money of all others waiting."""
    try:
        step()
    except Exception:
        log.exception("payments.step_failed")


@shared_task
def dunning_look() -> None:
    """Tell who is late, and end what followed for whoever has paid."""
    close_old_connections()
    payments.dunning_step(timezone.now())


@shared_task
def stripe_events_fetch() -> None:
    """Keep the events whose webhooks did not come."""
    close_old_connections()
    payments.events_backfill(timezone.now())


@shared_task
def webhook_bodies_empty() -> None:
    """Keep no longer what old events said of people."""
    close_old_connections()
    payments.bodies_empty(timezone.now())


@shared_task
def stripe_reconcile() -> None:
    """Compare the last days with Stripe's."""
    close_old_connections()
    payments.stripe_reconcile(timezone.now())


@shared_task
def stripe_reconcile_long() -> None:
    """Compare the last five weeks with Stripe's."""
    close_old_connections()
    payments.stripe_reconcile(timezone.now(), is_long=True)
