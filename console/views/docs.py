"""The documentation for customers, open to anyone and within the console of an organization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.views.decorators.http import require_safe

from console import guides
from console.access import member_page
from console.guides import Guide
from console.http import OrganizationRequest
from inference.gateway.openapi import openapi_json
from tenants.models import Organization


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """To the first page."""
    return redirect("docs_page", guides.FIRST)


@require_safe
def docs_page(request: HttpRequest, page: str) -> HttpResponse:
    """A page for anyone; it names models that are for everyone."""
    return _page(request, page, None)


@require_safe
@member_page
def org_docs(request: OrganizationRequest) -> HttpResponse:
    """To the first page."""
    return redirect("org_docs_page", request.organization.slug, guides.FIRST)


@require_safe
@member_page
def org_docs_page(request: OrganizationRequest, page: str) -> HttpResponse:
    """The same page for a member; it names models that the organization may call."""
    return _page(request, page, request.organization)


@require_safe
def docs_markdown(request: HttpRequest, page: str) -> HttpResponse:
    """The page as Markdown, for machines and for whoever likes it so."""
    text = _guide(page).filled(guides.values_for(None))
    return HttpResponse(text, content_type="text/markdown; charset=utf-8")


@require_safe
def llms_txt(request: HttpRequest) -> HttpResponse:
    return HttpResponse(guides.llms_txt(), content_type="text/plain; charset=utf-8")


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    """The document that the gateway serves, too."""
    return HttpResponse(openapi_json(), content_type="application/json")


def _page(request: HttpRequest, page: str, organization: Organization | None) -> HttpResponse:
    guide = _guide(page)
    values = guides.values_for(organization)
    context = {
        "layout": "console/app.html" if organization else "console/public.html",
        "guide": guide,
        "document": guides.document_of(guide, values, organization),
        "missing": guide.missing(values),
        "groups": list(_groups(organization)),
        **_neighbours(guide, organization),
    }
    return render(request, "console/docs/page.html", context)


def _guide(page: str) -> Guide:
    try:
        return guides.guides()[page]
    except KeyError:
        raise Http404 from None


type Link = tuple[Guide, str]


def _link(slug: str, organization: Organization | None) -> Link:
    return guides.guides()[slug], guides.page_url(slug, organization)


def _groups(organization: Organization | None) -> Iterator[tuple[str | Promise, list[Link]]]:
    for name, slugs in guides.GROUPS:
        yield name, [_link(slug, organization) for slug in slugs]


def _neighbours(guide: Guide, organization: Organization | None) -> dict[str, Any]:
    at = guides.SLUGS.index(guide.slug)
    before, after = guides.SLUGS[:at][-1:], guides.SLUGS[at + 1 :][:1]
    return {
        "previous": _link(before[0], organization) if before else None,
        "next": _link(after[0], organization) if after else None,
    }
