"""The operator's backends."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def operator_backends(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def operator_backend_add(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def operator_backend_test(request: HttpRequest, backend: str) -> HttpResponse:
    return HttpResponse("")


def operator_backend_state(request: HttpRequest, backend: str) -> HttpResponse:
    return HttpResponse("")
