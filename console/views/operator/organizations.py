"""The operator's organizations."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def operator_organizations(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def operator_organization(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")
