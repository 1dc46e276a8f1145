"""For anyone who holds a key that is not theirs: revoke it. And the pattern to find keys by."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from console.key_forms import LeakedKeyForm
from tenants import services, tenancy
from tenants.models import LeakSource

RULE: Final = settings.BASE_DIR / "docs" / "site" / "gitleaks.toml"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leaked_key(request: HttpRequest) -> HttpResponse:
    """Who can show a key may revoke it. Whose it is, is not told."""
    form = LeakedKeyForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    if form.is_valid():
        secret, url = form.cleaned_data["secret"], form.cleaned_data["url"]
        with tenancy.everything("the key itself says whose it is"):
            context["is_ours"] = services.key_leak_report(
                secret=secret, source=LeakSource.HOLDER, url=url
            )
        context["is_done"] = True
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/keys/leaked.html", context, status=status)


@require_safe
def gitleaks(request: HttpRequest) -> HttpResponse:
    """The rule for gitleaks, as a file."""
    return HttpResponse(RULE.read_text(), content_type="text/plain; charset=utf-8")
