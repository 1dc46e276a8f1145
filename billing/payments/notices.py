"""What people are to be told of money. Rows of the books' transactions; mails leave later."""

from __future__ import annotations

from datetime import datetime

from billing.models import DunningStage, Invoice, NoticeKind, Payment, PaymentNotice
from tenants.models import Organization


def notice_leave(
    organization: Organization,
    kind: NoticeKind,
    source: str,
    now: datetime,
    *,
    payment: Payment | None = None,
    invoice: Invoice | None = None,
    stage: DunningStage | None = None,
) -> None:
    """Have the people of money told, once for each `source`."""
    facts = {"payment": payment, "invoice": invoice, "stage": stage, "created_at": now}
    PaymentNotice.objects.get_or_create(
        organization=organization, kind=kind, source=source, defaults=facts
    )
