"""Customers who are late, how late, and what has come of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Sum
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import Dunning, DunningStage, Invoice, InvoiceState
from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest


@dataclass(frozen=True, slots=True)
class LateRow:
    """`owed` is what is late, of all its invoices, in its currency."""

    late: Dunning
    owed: Decimal
    currency: str
    now: datetime

    @property
    def days(self) -> int:
        return max(0, (self.now - self.late.late_since).days)

    @property
    def kind(self) -> str:
        return "bad" if self.late.stage >= DunningStage.RESTRICTED else "warn"

    @property
    def next_step(self) -> tuple[int, str] | None:
        """In how many days it gets to which stage, if nothing is paid."""
        after = [stage for stage in DunningStage if stage > self.late.stage]
        return (max(0, after[0] - self.days), str(after[0].label)) if after else None


@require_safe
@operator_page
def operator_dunning(request: OperatorRequest) -> HttpResponse:
    """Those who are latest first."""
    stage = filter_read(
        request,
        "stage",
        [(str(value), label) for value, label in DunningStage.choices],
        label=_("Stage"),
        every=_("Every stage"),
    )
    found = Dunning.objects.select_related("organization").order_by("late_since")
    if stage.value:
        found = found.filter(stage=stage.value)
    late, now = list(found[:SHOWN]), timezone.now()
    owed = _owed([one.pk for one in late])
    context = {
        "filters": [stage],
        "is_filtered": stage.value,
        "rows": [LateRow(one, *owed.get(one.pk, (Decimal(0), "EUR")), now) for one in late],
        "stages": DunningStage,
    }
    return render(request, "console/operator/dunning.html", context)


SHOWN = 200


def _owed(organizations: Collection[UUID]) -> dict[UUID, tuple[Decimal, str]]:
    late = Invoice.objects.filter(organization__in=organizations, state=InvoiceState.PAST_DUE)
    rows = late.order_by().values_list("organization", "currency")
    sums = rows.annotate(sum=Sum(F("total") - F("credited") - F("paid")))
    return {pk: (amount, currency) for pk, currency, amount in sums}
