"""The prices, for everyone."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from billing.models import Currency
from console.currencies import amounts_in
from console.filters import filter_read
from console.public_prices import PublicPrices


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    """What each model costs, what the plans are, and what things come to."""
    search = request.GET.get("q", "").strip()
    chosen = filter_read(request, "currency", Currency.choices, label=_("Currency"))
    prices = PublicPrices(timezone.now(), Currency(chosen.value), search)
    context = {
        "prices": prices,
        "search": search,
        "filters": [chosen] if len(prices.currencies) > 1 else [],
    }
    with amounts_in(chosen.value):
        return render(request, "console/pricing.html", context)
