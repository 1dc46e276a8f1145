"""How an organization buys: its terms, payments in advance and promotional credit."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods
from django.views.decorators.vary import vary_on_headers

from billing.ledger import prepaid_top_up, promo_grant
from billing.limiting import terms_set
from billing.models import Mode
from console.access import operator_page
from console.credit_forms import GrantForm, PaymentForm, TermsForm
from console.forms import is_taken
from console.http import OperatorRequest
from console.step_up import stepped_up
from console.views.operator.answers import template_of
from tenants.models import Organization


class Sheet(NamedTuple):
    """What one of these forms says of itself."""

    title: Promise
    sub: Promise
    act: Promise


TERMS = Sheet(
    gettext_lazy("Terms"),
    gettext_lazy("They count for every request from now on."),
    gettext_lazy("Save"),
)
PAYMENT = Sheet(
    gettext_lazy("Enter a payment"),
    gettext_lazy("It is prepaid credit at once. The books keep it: it cannot be taken back here."),
    gettext_lazy("Enter payment"),
)
GRANT = Sheet(
    gettext_lazy("Grant credit"),
    gettext_lazy("Usage is drawn from it first: before what was paid, and before it is billed."),
    gettext_lazy("Grant credit"),
)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
@stepped_up
def operator_organization_terms(request: OperatorRequest, org: str) -> HttpResponse:
    """Its plan, and whether and up to what it is billed afterwards."""
    organization = get_object_or_404(Organization, slug=org)
    form = TermsForm.of(organization, request.POST if request.method == "POST" else None)

    def change() -> None:
        typed = form.cleaned_data
        terms_set(
            actor=request.user,
            organization=organization,
            plan=typed["plan"],
            mode=Mode(typed["mode"]),
            credit_limit=typed["credit_limit"],
        )

    return _answer(request, organization, form, change, TERMS)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
@stepped_up
def operator_organization_payment(request: OperatorRequest, org: str) -> HttpResponse:
    """A payment that came in for usage to come."""
    organization = get_object_or_404(Organization, slug=org)
    form = PaymentForm(request.POST if request.method == "POST" else None)

    def change() -> None:
        typed = form.cleaned_data
        if not prepaid_top_up(actor=request.user, organization=organization, **typed).is_new:
            raise ValidationError({"reference": _("This payment was entered already.")})

    return _answer(request, organization, form, change, PAYMENT)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
@stepped_up
def operator_organization_grant(request: OperatorRequest, org: str) -> HttpResponse:
    """Credit that costs nothing."""
    organization = get_object_or_404(Organization, slug=org)
    form = GrantForm(request.POST if request.method == "POST" else None)

    def change() -> None:
        typed = form.cleaned_data
        promo_grant(
            actor=request.user,
            organization=organization,
            amount=typed["amount"],
            expires_at=form.expires_at,
            reason=typed["reason"],
            reference=typed["reference"],
        )

    return _answer(request, organization, form, change, GRANT)


def _answer(
    request: OperatorRequest,
    organization: Organization,
    form: forms.Form,
    change: Callable[[], None],
    sheet: Sheet,
) -> HttpResponse:
    if form.is_valid() and is_taken(form, change):
        messages.success(request, _("Saved."))
        return redirect("operator_organization", org=organization.slug)
    context = {"tenant": organization, "form": form, "sheet": sheet}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, template_of(request, "organization_credit"), context, status=status)
