"""The operator's overview."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse


def operator_overview(request: HttpRequest) -> HttpResponse:
    return HttpResponse("")
