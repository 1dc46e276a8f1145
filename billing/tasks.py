"""Background work on money."""

from __future__ import annotations

from typing import Final

from celery import shared_task
from django.db import close_old_connections

from billing.ingest import BATCH, ingest
from tenants.valkey import client

LOCK_S: Final = 15


@shared_task
def usage_ingest() -> None:
    """Book all usage that waits. One run at a time: the next beat finds it at work and leaves."""
    lock = client().lock("ingest:lock", timeout=LOCK_S, blocking=False)
    if not lock.acquire():
        return
    try:
        close_old_connections()
        while ingest() == BATCH:
            lock.reacquire()
    finally:
        lock.release()
