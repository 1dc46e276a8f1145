"""The customer's audit trail, and its export."""

from __future__ import annotations

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console.access import member_page
from console.audit_exports import export_told
from console.audit_log import audit_context, export_answer
from console.http import OrganizationRequest
from tenants.models import AuditEntry


@require_safe
@never_cache
@member_page
def audit(request: OrganizationRequest) -> HttpResponse:
    """Who did what in the organization, and whether the trail of it is untouched."""
    organization = request.organization
    entries = AuditEntry.objects.for_organization(organization)
    context = audit_context(request, entries, organization.pk)
    return render(request, "console/audit/audit.html", context)


@require_safe
@member_page
def audit_export(request: OrganizationRequest) -> HttpResponseBase:
    """The whole chain as JSON lines, with the proof that it is whole."""
    organization = request.organization
    export_told(request, "audit.export", organization)
    file = f"audit-{organization.slug}"
    return export_answer(request, organization.pk, name=organization.name, file=file)
