"""The operator's models and rates."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def operator_models(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")


def operator_model_rates(request: HttpRequest, model: str) -> HttpResponse:
    return HttpResponse("")


def operator_model_enabled(request: HttpRequest, model: str) -> HttpResponse:
    return HttpResponse("")
