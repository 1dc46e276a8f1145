"""The customer's API keys."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def keys(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")


def key_create(request: HttpRequest, org: str) -> HttpResponse:
    return HttpResponse("")


def key_revoke(request: HttpRequest, org: str, key: str) -> HttpResponse:
    return HttpResponse("")


def key_first_request(request: HttpRequest, org: str, key: str) -> HttpResponse:
    return HttpResponse("")
