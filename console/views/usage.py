"""The customer's usage."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def usage(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")


def usage_csv(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")
