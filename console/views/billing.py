"""The customer's billing home."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.budgets import alerts_unseen
from billing.plans import promo_awaits_proof
from billing.stripe_client import is_on
from console.access import may_act, member_page
from console.billing_home import Account
from console.http import OrganizationRequest


@require_safe
@member_page
def billing(request: OrganizationRequest) -> HttpResponse:
    """What there is, what was spent this month, what it will be, and what was billed."""
    account = Account(request.organization)
    cap = account.cap.budget.amount if account.cap else None
    context = {
        "account": account,
        "report": account.report,
        "cap": cap,
        "spec": account.report.cumulative(cap),
        "unseen": alerts_unseen(request.organization),
        "may_set_budgets": may_act(request, "budget_add"),
        "has_stripe": is_on(),
        "awaits": promo_awaits_proof(request.organization),
    }
    return render(request, "console/billing/billing.html", context)
