"""Background work on organizations, keys and the audit trail."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from tenants.audit.anchors import anchor_make
from tenants.audit.checks import trail_verify


@shared_task
def audit_anchor() -> None:
    """Sign the heads of all chains, and keep that elsewhere."""
    close_old_connections()
    anchor_make()


@shared_task
def audit_verify() -> None:
    """Look through the whole trail; the audit pages show what came out."""
    close_old_connections()
    trail_verify()
