"""Where backends stand."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.access import operator_page
from console.http import OperatorRequest
from console.operator_forms import RegionForm
from inference import control


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page
def operator_region_add(request: OperatorRequest) -> HttpResponse:
    """Add a region, and go on to the backend that stands in it."""
    form = RegionForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        region = control.region_create(actor=request.user, **form.cleaned_data)
        messages.success(request, _("%(site)s is added.") % {"site": region.site})
        return redirect("operator_backend_add")
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/region_add.html", {"form": form}, status=status)
