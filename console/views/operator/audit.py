"""The platform's audit trail, that of one customer, and the reason to look at the latter."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from console.access import operator_page
from console.audit_exports import export_told
from console.audit_log import audit_context, export_answer
from console.audit_reasons import reason_first, reason_give
from console.http import OperatorRequest
from console.organization_forms import ReasonForm
from console.sheets import Sheet, sheet_answer
from console.views.operator.health import Problem
from tenants.models import PLATFORM, AuditEntry, AuditStanding, Organization


@require_safe
@never_cache
@operator_page
def operator_audit(request: OperatorRequest) -> HttpResponse:
    """The acts on the platform, and the organizations whose trail is not as it was written."""
    context = audit_context(request, AuditEntry.objects.of_platform(), PLATFORM)
    wrong = AuditStanding.objects.wrong().exclude(organization=None)
    context["wrong"] = wrong.select_related("organization")
    return render(request, "console/operator/audit.html", context)


@require_safe
@operator_page
def operator_audit_export(request: OperatorRequest) -> HttpResponseBase:
    export_told(request, "audit.export", None)
    return export_answer(request, PLATFORM, name=settings.SITE_NAME, file="audit-platform")


@require_safe
@never_cache
@operator_page
def operator_organization_audit(request: OperatorRequest, org: str) -> HttpResponse:
    """The trail of one customer, as the customer sees it."""
    organization = get_object_or_404(Organization, slug=org)
    if asked := reason_first(request, organization):
        return asked
    entries = AuditEntry.objects.for_organization(organization)
    context = audit_context(request, entries, organization.pk) | {"tenant": organization}
    return render(request, "console/operator/audit.html", context)


@require_safe
@operator_page
def operator_organization_audit_export(request: OperatorRequest, org: str) -> HttpResponseBase:
    organization = get_object_or_404(Organization, slug=org)
    if asked := reason_first(request, organization):
        return asked
    export_told(request, "audit.export", organization)
    file = f"audit-{organization.slug}"
    return export_answer(request, organization.pk, name=organization.name, file=file)


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_reason(request: OperatorRequest, org: str) -> HttpResponse:
    """Ask why a customer's data is to be read; then lead on to it."""
    organization = get_object_or_404(Organization, slug=org)
    back = reverse("operator_organization", args=[org])
    sheet = Sheet(
        title=_("Why do you look at %(name)s?") % {"name": organization},
        sub=_(
            "These are the data of a customer. Your name and your reason stand in the customer’s "
            "audit trail, and let you read for 30 minutes."
        ),
        act=_("Record it and go on"),
        back=back,
        keep=_("Do not look"),
    )
    form = ReasonForm(request.POST or None)
    return sheet_answer(
        request,
        sheet,
        form,
        lambda: reason_give(request, organization, form.cleaned_data["reason"]),
        to=_next(request) or back,
    )


def audit_problems() -> Iterator[Problem]:
    """What an operator must look at: trails that are not as they were written."""
    if count := AuditStanding.objects.wrong().count():
        said = ngettext(
            "%(n)s audit trail is not as it was written.",
            "%(n)s audit trails are not as they were written.",
            count,
        )
        means = _("Somebody changed the database past Sluice.")
        yield Problem(said % {"n": count}, means, reverse("operator_audit"), _("Show"))


def _next(request: OperatorRequest) -> str:
    """The page that asked, if it is one of ours."""
    url = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(url, {request.get_host()}, request.is_secure())
    return url if is_ours else ""
