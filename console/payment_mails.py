"""What people are mailed about payments: one that failed, one to confirm, an invoice that is late.

The books leave a row for each (`billing.payments.notices`); it is told once.
"""

from __future__ import annotations

from typing import Final

from celery import shared_task
from django.db import close_old_connections, transaction
from django.utils import timezone

from billing.models import DunningStage, NoticeKind, PaymentNotice
from console.mails import mail_send
from tenants.models import Membership, Organization, Role

MAILS: Final = {
    NoticeKind.PAYMENT_FAILED: "payment_failed",
    NoticeKind.NEEDS_ACTION: "payment_needs_action",
    NoticeKind.AUTO_TOP_UP_OFF: "auto_top_up_off",
    NoticeKind.LATE: "payment_late",
    NoticeKind.SETTLED: "payment_settled",
}


@shared_task
def payments_tell() -> None:
    """Tell of what was not told yet."""
    close_old_connections()
    notices_mail()


def notices_mail() -> int:
    """How many were told of."""
    count = 0
    while _mailed():
        count += 1
    return count


@transaction.atomic
def _mailed() -> bool:
    untold = PaymentNotice.objects.select_for_update(skip_locked=True, of=("self",))
    found = untold.filter(told_at=None).select_related("organization", "payment", "invoice")
    notice = found.order_by("created_at", "pk").first()
    if notice is None:
        return False
    notice.told_at = timezone.now()
    notice.save(update_fields=["told_at"])
    organization = notice.organization
    mail_send(
        MAILS[NoticeKind(notice.kind)],
        to=money_people(organization),
        url=f"/o/{organization.slug}/billing/",
        organization=organization,
        payment=notice.payment,
        invoice=notice.invoice,
        stage=notice.stage,
        stages=DunningStage,
    )
    return True


def money_people(organization: Organization) -> list[str]:
    """The addresses of those who pay for an organization."""
    members = Membership.objects.for_organization(organization).filter(user__is_active=True)
    told = members.filter(role__in=[Role.OWNER, Role.BILLING])
    return list(told.order_by("user__email").values_list("user__email", flat=True))
