"""Background work on organizations, keys and the audit trail."""

from __future__ import annotations

from typing import Final

from celery import shared_task
from django.db import close_old_connections

from tenants.audit.anchors import anchor_make
from tenants.audit.checks import trail_verify
from tenants.services import impersonations_lapse
from tenants.uses import uses_keep

ANCHORS_OF_A_WEEK: Final = 7 * 24 * 6


@shared_task
def audit_anchor() -> None:
    """Sign the heads of all chains, and keep that elsewhere."""
    close_old_connections()
    anchor_make()


@shared_task
def audit_verify() -> None:
    """Look through the whole trail; the audit pages show what came out."""
    close_old_connections()
    trail_verify(reread=ANCHORS_OF_A_WEEK)


@shared_task
def key_uses_keep() -> None:
    """Keep when and from where keys were last used."""
    close_old_connections()
    uses_keep()


@shared_task
def impersonations_end() -> None:
    """Put on record the end of those whose time is over."""
    close_old_connections()
    impersonations_lapse()
