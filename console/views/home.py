"""The customer's home."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def org_home(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")
