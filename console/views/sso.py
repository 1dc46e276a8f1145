"""How people log in to an organization: its provider, its domains, and what it asks of all."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from allauth.account.utils import get_next_redirect_url
from allauth.usersessions.models import UserSession
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import member_page
from console.http import OrganizationRequest
from console.sheets import Sheet, act_answer, sent, sheet_answer
from console.sso import dns
from console.sso.forms import DomainForm, ProviderForm, StartForm
from console.step_up import stepped_up
from tenants import services, tenancy
from tenants.models import Organization, SsoDomain, SsoProvider


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def sso_start(request: HttpRequest) -> HttpResponse:
    """From an e-mail address to the provider of its domain.

    The page leads on by itself: a form that leads to another site is against the policy of pages.
    """
    form = StartForm(request.POST or None, initial={"email": request.GET.get("email", "")})
    domain = None
    if form.is_valid():
        found = SsoDomain.objects.of(form.cleaned_data["email"])
        with tenancy.everything("an address says which organization’s provider knows it"):
            domain = found.filter(organization__sso__isnull=False).first()
        if domain is None:
            form.add_error("email", _("No organization has a provider for this domain."))
    context = {"form": form, "domain": domain, "way": domain and _way(request, domain)}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    response = render(request, "console/sso/start.html", context, status=status)
    if domain:
        response["Refresh"] = f"0;url={context['way']}"
    return response


def _way(request: HttpRequest, domain: SsoDomain) -> str:
    way = reverse("sso_login", kwargs={"provider_id": domain.organization_id})
    onwards = get_next_redirect_url(request)
    return f"{way}?{urlencode({'next': onwards})}" if onwards else way


@require_safe
@member_page
def sign_on(request: OrganizationRequest) -> HttpResponse:
    organization = request.organization
    callback = reverse("sso_callback", kwargs={"provider_id": organization.pk})
    context = {
        "sso": _provider(request),
        "domains": SsoDomain.objects.for_organization(organization),
        "callback": request.build_absolute_uri(callback),
        "record_at": services.RECORD_AT,
        "proof": services.PROOF,
    }
    return render(request, "console/sso/sign_on.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def sso_provider(request: OrganizationRequest) -> HttpResponse:
    known = _provider(request)
    sheet = Sheet(
        title=_("Your provider"),
        sub=_("OpenID Connect, with the code flow. It is asked who it is before it is saved."),
        act=_("Save"),
        back=_page(request),
        keep=_("Cancel"),
    )
    form = ProviderForm(sent(request), known)

    def change() -> None:
        services.sso_set(actor=request.user, organization=request.organization, **form.cleaned_data)

    return sheet_answer(request, sheet, form, change, said=_("The provider is saved."))


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def sso_remove(request: OrganizationRequest) -> HttpResponse:
    sso = get_object_or_404(SsoProvider.objects.for_organization(request.organization))
    sheet = Sheet(
        title=_("Remove the provider"),
        sub=_("Who only ever came through it chooses a password by “forgot your password”."),
        act=_("Remove"),
        back=_page(request),
        keep=_("Keep it"),
        facts=[(_("Issuer"), sso.issuer)],
        is_danger=True,
    )

    def change() -> None:
        services.sso_remove(actor=request.user, provider=sso)

    return sheet_answer(
        request, sheet, forms.Form(sent(request)), change, said=_("The provider is removed.")
    )


@require_POST
@member_page
@stepped_up
def sso_enforce(request: OrganizationRequest) -> HttpResponse:
    sso = get_object_or_404(SsoProvider.objects.for_organization(request.organization))
    wanted = request.POST.get("is_enforced") == "1"

    def change() -> None:
        services.sso_enforce(actor=request.user, provider=sso, is_enforced=wanted)
        if wanted:
            _end_log_ins(request.organization)

    return act_answer(
        request,
        change,
        said=_("It is the only way in now.") if wanted else _("Other ways in are open again."),
        to=_page(request),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@member_page
@stepped_up
def sso_domain_add(request: OrganizationRequest) -> HttpResponse:
    form = DomainForm(sent(request))
    sheet = Sheet(
        title=_("Add a domain"),
        sub=_("You prove that it is yours by a TXT record, which is shown next."),
        act=_("Add domain"),
        back=_page(request),
        keep=_("Cancel"),
    )

    def change() -> None:
        services.sso_domain_add(
            actor=request.user,
            organization=request.organization,
            name=form.cleaned_data["name"],
        )

    return sheet_answer(request, sheet, form, change)


@require_POST
@member_page
@stepped_up
def sso_domain_verify(request: OrganizationRequest, domain: UUID) -> HttpResponse:
    found = _domain(request, domain)

    def change() -> None:
        services.sso_domain_verify(actor=request.user, domain=found, texts_at=dns.texts_at)
        if (sso := _provider(request)) and sso.is_enforced:
            _end_log_ins(request.organization)

    return act_answer(
        request,
        change,
        said=_("%(name)s is verified.") % {"name": found.name},
        to=_page(request),
    )


@require_POST
@member_page
@stepped_up
def sso_domain_remove(request: OrganizationRequest, domain: UUID) -> HttpResponse:
    found = _domain(request, domain)
    return act_answer(
        request,
        lambda: services.sso_domain_remove(actor=request.user, domain=found),
        said=_("%(name)s is removed.") % {"name": found.name},
        to=_page(request),
    )


@require_POST
@member_page
@stepped_up
def second_factor_rule(request: OrganizationRequest) -> HttpResponse:
    wanted = request.POST.get("is_required") == "1"
    return act_answer(
        request,
        lambda: services.organization_set_second_factor(
            actor=request.user, organization=request.organization, is_required=wanted
        ),
        said=_("Every member needs a second factor now.")
        if wanted
        else _("Only owners and billing need a second factor now."),
        to=_page(request),
    )


def _end_log_ins(organization: Organization) -> None:
    """Of those who must come through the provider from now on."""
    for session in UserSession.objects.filter(user__in=services.sso_members(organization)):
        session.end()


def _provider(request: OrganizationRequest) -> SsoProvider | None:
    return SsoProvider.objects.for_organization(request.organization).first()


def _domain(request: OrganizationRequest, domain: UUID) -> SsoDomain:
    return get_object_or_404(SsoDomain.objects.for_organization(request.organization), pk=domain)


def _page(request: OrganizationRequest) -> str:
    return reverse("sign_on", args=[request.organization.slug])
