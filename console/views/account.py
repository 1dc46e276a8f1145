"""A person's own account: who they are, and the log-ins that are open. The rest is allauth's."""

from __future__ import annotations

from http import HTTPStatus

from allauth.mfa.models import Authenticator
from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.account_forms import NameForm
from console.http import UserRequest
from console.second_factor import FACTORS
from tenants import services


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def account(request: UserRequest) -> HttpResponse:
    """What is known of a person, and the ways to change it."""
    form = NameForm(request.POST or None, initial={"name": request.user.name})
    if form.is_valid():
        services.user_set_name(user=request.user, name=form.cleaned_data["name"])
        messages.success(request, _("The name is saved."))
        return redirect("account")
    context = {
        "form": form,
        "factors": Authenticator.objects.filter(user=request.user, type__in=FACTORS).count(),
        "log_ins": len(UserSession.objects.purge_and_list(request.user)),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.is_bound else HTTPStatus.OK
    return render(request, "console/account/account.html", context, status=status)


@require_POST
@login_required
def account_session_end(request: UserRequest, session: int) -> HttpResponse:
    """End one log-in; another person's does not exist here."""
    found = get_object_or_404(UserSession, pk=session, user=request.user)
    end_sessions(request, [found])
    messages.success(request, _("The log-in is over."))
    return redirect("usersessions_list")
