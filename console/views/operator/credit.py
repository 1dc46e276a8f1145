"""How an organization buys: its plan, terms, prices and currency; payments and credit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from kombu.exceptions import OperationalError

from billing import tasks
from billing.invoices import month_close
from billing.ledger import promo_grant, wallet_read
from billing.limiting import terms_set
from billing.models import BillingProfile, Currency, Mode
from billing.payments import payment_enter
from billing.plans import currency_of, currency_set, plan_change, terms_set_book
from billing.profiles import vat_evidence_set
from console.access import operator_page
from console.credit_forms import (
    BookForm,
    CurrencyForm,
    EvidenceForm,
    GrantForm,
    MonthForm,
    PaymentForm,
    PlanChangeForm,
    TermsForm,
)
from console.http import OperatorRequest
from console.sheets import Sheet, sent, sheet_answer
from console.step_up import stepped_up
from console.templatetags.ui import money_in
from tenants.models import Organization


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_plan(request: OperatorRequest, org: str) -> HttpResponse:
    """Another plan, with all that it sets."""
    organization = _organization(org)
    form = PlanChangeForm.of(organization, sent(request))
    sub = _("Its limits, payment, models and prices are the plan’s from the next request on.")

    def change() -> None:
        plan_change(actor=request.user, organization=organization, **form.cleaned_data)

    return _answer(request, organization, form, change, (_("Change plan"), sub, _("Change plan")))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_terms(request: OperatorRequest, org: str) -> HttpResponse:
    """Whether and up to what it is billed afterwards, whatever its plan says."""
    organization = _organization(org)
    form = TermsForm.of(organization, sent(request))
    sub = _("They count for every request from now on, and go before those of the plan.")

    def change() -> None:
        typed = form.cleaned_data
        terms_set(
            actor=request.user,
            organization=organization,
            plan=typed["plan"],
            mode=Mode(typed["mode"]),
            credit_limit=typed["credit_limit"],
        )

    return _answer(request, organization, form, change, (_("Terms"), sub, _("Save")))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_book(request: OperatorRequest, org: str) -> HttpResponse:
    """The prices that were agreed with it."""
    organization = _organization(org)
    form = BookForm.of(organization, sent(request))
    sub = _("Each request from now on is rated by this book, before its plan’s.")

    def change() -> None:
        terms_set_book(actor=request.user, organization=organization, **form.cleaned_data)

    return _answer(request, organization, form, change, (_("Price book"), sub, _("Save")))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_currency(request: OperatorRequest, org: str) -> HttpResponse:
    """The currency of all its money, before there is any."""
    organization = _organization(org)
    form = CurrencyForm.of(organization, sent(request))
    sub = _("Nothing is converted. It stays once the organization has used or paid something.")

    def change() -> None:
        chosen = Currency(form.cleaned_data["currency"])
        currency_set(actor=request.user, organization=organization, currency=chosen)

    return _answer(request, organization, form, change, (_("Currency"), sub, _("Save")))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_vat(request: OperatorRequest, org: str) -> HttpResponse:
    """What was answered about its VAT id, by whomever was asked."""
    organization = _organization(org)
    profile = get_object_or_404(
        BillingProfile.objects.for_organization(organization).exclude(vat_id="")
    )
    form = EvidenceForm(sent(request), initial={"day": timezone.now().date()})
    sub = _("For %(vat_id)s, when VIES does not answer us. Invoices from now on are taxed by it.")

    def change() -> None:
        vat_evidence_set(actor=request.user, profile=profile, **form.facts)

    said = (_("Evidence of a VAT id"), sub % {"vat_id": profile.vat_id}, _("Keep"))
    return _answer(request, organization, form, change, said)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_payment(request: OperatorRequest, org: str) -> HttpResponse:
    """A payment that came in by bank for usage to come."""
    organization = _organization(org)
    form = PaymentForm(sent(request))
    sub = _("As it stands on the bank’s account. Without its VAT it is prepaid credit at once.")

    def change() -> None:
        payment_enter(actor=request.user, organization=organization, **form.cleaned_data)

    texts = (_("Enter a payment"), sub, _("Enter payment"))
    return _answer(request, organization, form, change, texts)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_grant(request: OperatorRequest, org: str) -> HttpResponse:
    """Credit that costs nothing."""
    organization = _organization(org)
    form = GrantForm(sent(request))
    sub = _("Usage is drawn from it first: before what was paid, and before it is billed.")

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

    return _answer(request, organization, form, change, (_("Grant credit"), sub, _("Grant credit")))


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
@stepped_up
def operator_organization_month(request: OperatorRequest, org: str) -> HttpResponse:
    """An invoice before its time, of a customer who leaves."""
    organization = _organization(org)
    form = MonthForm.of(organization, sent(request))
    sub = _(
        "Nothing enters the month any more, and its invoice is made within minutes, with the "
        "address and the VAT of now."
    )

    def change() -> None:
        month_close(
            actor=request.user,
            organization=organization,
            now=timezone.now(),
            **form.cleaned_data,
        )
        with suppress(OperationalError):  # then the worker comes by itself
            tasks.months_close.apply_async(retry=False)

    texts = (_("Close a month"), sub, _("Close the month"))
    warning = "" if form.has_months else _("All that was used is invoiced already.")
    said = _("The month is closed. Its invoice comes within minutes, under Invoices.")
    return _answer(request, organization, form, change, texts, warning=warning, said=said)


def _answer(
    request: OperatorRequest,
    organization: Organization,
    form: forms.Form,
    change: Callable[[], None],
    texts: tuple[str, str, str],
    *,
    warning: str = "",
    said: str = "",
) -> HttpResponse:
    """`texts` are the title, what it means, and the word on the button."""
    title, sub, act = texts
    sheet = Sheet(
        title=f"{title} · {organization}",
        sub=sub,
        act=act,
        back=reverse("operator_organization", args=[organization.slug]),
        keep=_("Cancel"),
        facts=_facts(organization),
        warning=warning,
    )
    return sheet_answer(request, sheet, form, change, said=said or _("Saved."))


def _facts(organization: Organization) -> list[tuple[str, object]]:
    wallet = wallet_read([organization.pk])[organization.pk]
    currency = currency_of(organization.pk)
    credit = wallet.prepaid + wallet.promo
    return [
        (_("Credit"), money_in(credit, currency)),
        (_("Not paid yet"), money_in(wallet.unbilled + wallet.receivable, currency)),
    ]


def _organization(slug: str) -> Organization:
    return get_object_or_404(Organization, slug=slug)
