"""Pages of no organization: probes, theme and the front door."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def readyz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def theme(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")
