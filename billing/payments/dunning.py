"""Invoices that are late: people are told, then warned, then what they can do gets less.

It follows from the oldest invoice that is open, so a payment at any time undoes all of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from billing.invoices import invoices_age
from billing.models import Dunning, DunningStage, Invoice, InvoiceState, NoticeKind
from billing.payments.notices import notice_leave
from tenants import audit
from tenants.models import Organization, OrganizationState
from tenants.services import organization_lift, organization_suspend

_OWED: Final = (InvoiceState.FINALISED, InvoiceState.PAST_DUE, InvoiceState.UNCOLLECTIBLE)


def dunning_step(now: datetime) -> int:
    """Look at every organization that is or was late; how many there are."""
    invoices_age(now)
    late = _late(now).values_list("organization", flat=True)
    ids: set[UUID] = {*late, *Dunning.objects.values_list("pk", flat=True)}
    for organization in Organization.objects.filter(pk__in=ids).order_by("pk"):
        dunning_look(organization, now)
    return len(ids)


@transaction.atomic
def dunning_look(organization: Organization, now: datetime) -> Dunning | None:
    """What follows from how late it is now; None is not at all."""
    row = Dunning.objects.select_for_update().filter(organization=organization).first()
    oldest = _late(now).filter(organization=organization).order_by("due_at", "pk").first()
    if oldest is None or oldest.due_at is None:
        if row:
            _end(row, organization, now)
        return None
    stage = stage_of((now - oldest.due_at).days)
    if row and row.stage == stage:
        return row
    before = row.stage if row else None
    row = row or Dunning(organization=organization)
    row.stage, row.late_since, row.stepped_at = stage, oldest.due_at, now
    _follow(row, organization)
    row.save()
    audit.record(
        actor=None, action="dunning.step", target=row, organization=organization,
        before=before, after=int(stage), invoice=oldest.number,
    )  # fmt: skip
    if before is None or stage > before:
        source = f"{oldest.pk}:{int(stage)}"
        notice_leave(organization, NoticeKind.LATE, source, now, invoice=oldest, stage=stage)
    return row


def stage_of(days: int) -> DunningStage:
    """The last that has begun after so many whole days."""
    return max(stage for stage in DunningStage if stage <= days)


def is_restricted(organization: Organization) -> bool:
    """Whether its keys may be listed and revoked, and none be made."""
    rows = Dunning.objects.for_organization(organization)
    return rows.filter(stage__gte=DunningStage.RESTRICTED).exists()


def key_making_check(organization: Organization) -> None:
    """ValidationError while an invoice is so late that no keys are made."""
    if is_restricted(organization):
        raise ValidationError(
            _("An invoice is more than 14 days late: keys can be made again once it is paid.")
        )


def _late(now: datetime) -> QuerySet[Invoice]:
    """Those of which something is open after their day, and more than a trifle."""
    return Invoice.objects.chargeable().filter(state__in=_OWED, due_at__lte=now)


def _follow(row: Dunning, organization: Organization) -> None:
    """Suspended from that stage on; whom an operator has suspended stays so."""
    organization.refresh_from_db(fields=["state"])
    if row.stage < DunningStage.SUSPENDED:
        _lift(row, organization)
    elif organization.state == OrganizationState.ACTIVE:
        why = _("An invoice has been open for more than 30 days. Pay it to go on at once.")
        organization_suspend(actor=None, organization=organization, reason=why)
        row.has_suspended = True


def _lift(row: Dunning, organization: Organization) -> None:
    if row.has_suspended and organization.state == OrganizationState.SUSPENDED:
        organization_lift(actor=None, organization=organization)
    row.has_suspended = False


def _end(row: Dunning, organization: Organization, now: datetime) -> None:
    organization.refresh_from_db(fields=["state"])
    _lift(row, organization)
    source = f"{row.late_since.isoformat()}"
    audit.record(
        actor=None, action="dunning.end", target=row, organization=organization, before=row.stage
    )
    row.delete()
    notice_leave(organization, NoticeKind.SETTLED, source, now)
