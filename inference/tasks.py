"""Background work on backends."""

from __future__ import annotations

from celery import shared_task

from inference.probes import backends_check


@shared_task
def backends_probe() -> None:
    """Check the health of every backend that may serve."""
    backends_check()
