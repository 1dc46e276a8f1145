"""The models a customer can call."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def models(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")
