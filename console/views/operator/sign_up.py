"""Whether anyone may sign up."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.access import operator_page
from console.http import OperatorRequest
from console.sheets import act_answer
from tenants import services


@require_POST
@operator_page
def operator_sign_up(request: OperatorRequest) -> HttpResponse:
    wanted = request.POST.get("is_open") == "1"
    return act_answer(
        request,
        lambda: services.sign_up_set(actor=request.user, is_open=wanted),
        said=_("Anyone may sign up now.") if wanted else _("Sign-up is closed now."),
        to=reverse("operator_waiting"),
    )
