"""Whom invoices go to: name, address and VAT id."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from billing import profiles as services
from billing.models import BillingProfile
from console.access import member_page
from console.billing_forms import ProfileForm
from console.forms import is_taken
from console.http import OrganizationRequest
from console.step_up import stepped_up


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def billing_profile(request: OrganizationRequest) -> HttpResponse:
    """What is typed is checked here and now; a wrong VAT id is told at its field."""
    profile = profile_of(request)
    form = ProfileForm.of(profile, request.POST or None)

    def change() -> None:
        services.profile_set(
            actor=request.user, organization=request.organization, **form.cleaned_data
        )

    if form.is_valid() and is_taken(form, change):
        messages.success(request, _("Saved. It stands on every invoice from now on."))
        return redirect(_onward(request))
    context = {
        "form": form,
        "profile": profile,
        "vat": profile and services.vat_decide(profile, timezone.now().date()),
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.is_bound else None
    return render(request, "console/billing/profile.html", context, status=status)


def _onward(request: OrganizationRequest) -> str:
    """Whoever was on the way to a top-up goes on with its amount."""
    page = "top_up" if "top_up" in request.GET else "billing_profile"
    url = reverse(page, args=[request.organization.slug])
    amount = request.GET.get("top_up")
    return f"{url}?{urlencode({'amount': amount})}" if amount else url


def profile_of(request: OrganizationRequest) -> BillingProfile | None:
    return BillingProfile.objects.for_organization(request.organization).first()
