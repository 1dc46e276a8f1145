"""Buying credit: how much, what VAT comes on top, the way to the payment, and back from it."""

from __future__ import annotations

from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from billing import payments as services
from billing.ledger import wallet_read
from billing.models import AutoTopUp, Payment, StripeCustomer
from billing.profiles import seller_of, vat_amount, vat_decide
from billing.stripe_client import StripeError, is_on
from console.access import member_page
from console.billing_forms import AutoTopUpForm, TopUpForm
from console.currencies import shown_currency
from console.forms import is_taken
from console.http import OrganizationRequest
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from console.views.billing_profile import profile_of
from tenants.tenancy import everything


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def top_up(request: OrganizationRequest) -> HttpResponse:
    """GET shows what an amount costs with VAT, POST begins its payment."""
    form = TopUpForm(request.POST or request.GET or None)
    begun: list[Payment] = []
    amount = form.cleaned_data["amount"] if form.is_valid() else None

    def change() -> None:
        begun.append(
            services.top_up_begin(
                actor=request.user,
                organization=request.organization,
                amount=form.cleaned_data["amount"],
                return_url=_back_to(request),
            )
        )

    if request.method == "POST" and amount is not None and is_taken(form, change):
        payment = begun[0]
        page = reverse("top_up_payment", args=[request.organization.slug, payment.pk])
        return redirect(payment.checkout_url or page)
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    context = _shown(request, form, amount)
    return render(request, "console/billing/top_up.html", context, status=status)


def _shown(request: OrganizationRequest, form: TopUpForm, amount: Decimal | None) -> dict[str, Any]:
    profile = profile_of(request)
    vat = vat_decide(profile, timezone.now().date()) if profile else None
    on_top = vat_amount(amount, vat.rate) if vat and amount else None
    return {
        "form": form,
        "amounts": form.offered,
        "amount": amount,
        "vat": vat,
        "vat_amount": on_top,
        "total": amount + on_top if amount and on_top is not None else None,
        "currency": shown_currency(),
        "seller": seller_of(),
        "has_stripe": is_on(),
    }


@require_safe
@never_cache
@vary_on_headers("HX-Request")
@member_page
def top_up_payment(request: OrganizationRequest, payment: UUID) -> HttpResponse:
    """Where one comes back to from paying: it waits for the books, and says what became of it."""
    payments = Payment.objects.for_organization(request.organization)
    found = _looked_at(get_object_or_404(payments, pk=payment))
    wallet = wallet_read([found.organization_id])[found.organization_id]
    context = {"payment": found, "wallet": wallet}
    part = "#state" if request.htmx else ""
    return render(request, f"console/billing/payment.html{part}", context)


@require_POST
@member_page
@stepped_up
def payment_confirm(request: OrganizationRequest, payment: UUID) -> HttpResponse:
    """To where a person confirms what the bank asks about."""
    payments = Payment.objects.for_organization(request.organization)
    found = get_object_or_404(payments, pk=payment)
    page = reverse("top_up_payment", args=[request.organization.slug, found.pk])
    try:
        found = services.payment_action(
            actor=request.user, payment=found, return_url=settings.CONSOLE_URL + page
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    return redirect(found.checkout_url or page)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def auto_top_up(request: OrganizationRequest) -> HttpResponse:
    """Credit that is bought by itself."""
    found = AutoTopUp.objects.for_organization(request.organization).first()
    form = AutoTopUpForm.of(found, sent(request))
    sheet = Sheet(
        title=_("Automatic top-up"),
        sub=_("In %s, without VAT. The saved card pays it, and each time there is an invoice.")
        % shown_currency(),
        act=_("Save"),
        back=reverse("billing", args=[request.organization.slug]),
        keep=_("Cancel"),
        facts=[(_("Pays with"), _card(request) or _("Nothing yet: the first top-up saves a card"))],
    )

    def change() -> None:
        services.auto_top_up_set(
            actor=request.user, organization=request.organization, **form.cleaned_data
        )

    return sheet_answer(request, sheet, form, change, said=_("Saved."))


@require_POST
@member_page
@stepped_up
def payment_method(request: OrganizationRequest) -> HttpResponse:
    """To where cards are changed."""
    home = reverse("billing", args=[request.organization.slug])
    try:
        url = services.portal_url(
            actor=request.user,
            organization=request.organization,
            return_url=settings.CONSOLE_URL + home,
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        url = home
    return redirect(url)


def _looked_at(payment: Payment) -> Payment:
    """What became of it by now, should nobody have told us; what cannot be told now comes later."""
    if payment.is_open and is_on():
        try:
            with everything("what was paid is entered by the platform"):
                services.payment_refresh(payment, timezone.now())
        except (StripeError, services.MismatchError, services.NotOursError):
            return payment
        payment.refresh_from_db()
    return payment


def _card(request: OrganizationRequest) -> str:
    customer = StripeCustomer.objects.for_organization(request.organization).first()
    return customer.label if customer else ""


def _back_to(request: OrganizationRequest) -> str:
    """The address of `top_up_payment` of a payment that is still to be begun."""
    page = reverse("top_up", args=[request.organization.slug])
    return f"{settings.CONSOLE_URL}{page}{{payment}}/"
