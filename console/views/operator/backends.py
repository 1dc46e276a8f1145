"""The operator's backends."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from console.access import operator_page
from console.filters import filter_read
from console.http import OperatorRequest
from console.operator_forms import BackendForm
from console.views.operator.health import backend_blast, backend_rows, with_deployments
from console.views.operator.paging import page_of
from inference import control
from inference.live import CheckSeen
from inference.models import Backend, BackendState, Region
from inference.probes import backend_check
from tenants.models import User
from tenants.sealing import seal


@require_safe
@vary_on_headers("HX-Request")
@operator_page
def operator_backends(request: OperatorRequest) -> HttpResponse:
    """Every backend with its live health, or for htmx the table alone."""
    search = request.GET.get("q", "").strip()
    state = filter_read(
        request, "state", BackendState.choices, label=_("State"), every=_("Every state")
    )
    found = _matching(search, state.value)
    page = page_of(with_deployments(found), unique="name", after=request.GET.get("after", ""))
    now = timezone.now()
    context = {
        "search": search,
        "filters": [state],
        "is_filtered": search or state.value,
        "page": page,
        "rows": backend_rows(page.rows, now),
        "now": now,
    }
    part = "_backends_live" if request.htmx else "backends"
    return render(request, f"console/operator/{part}.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@operator_page
def operator_backend_add(request: OperatorRequest) -> HttpResponse:
    """Add a backend once it answers as typed; "save anyway" is for one that is not up yet."""
    form = BackendForm(request.POST if request.method == "POST" else None)
    act = request.POST.get("act", "")
    if not form.is_valid():
        return _add_page(request, form)
    check = _ask(form)
    if act != "anyway":
        form.match_engine(check)
    if act == "test" or form.errors:
        return _add_page(request, form, check)
    backend = _register(request.user, form)
    messages.success(request, _("%(name)s is added and takes work.") % {"name": backend.name})
    return redirect("operator_backend", backend=backend.name)


@require_POST
@operator_page
def operator_backend_test(request: OperatorRequest, backend: str) -> HttpResponse:
    """Ask the engine now, and show what it answers."""
    found = get_object_or_404(with_deployments(Backend.objects.all()), name=backend)
    check = backend_check(found)
    deployments = [(d, d.engine_model in check.models) for d in found.deployments.all()]
    context = {"backend": found, "check": check, "deployments": deployments}
    return render(request, _dialog(request, "backend_test"), context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_backend_state(request: OperatorRequest, backend: str) -> HttpResponse:
    """GET shows what a change breaks, POST makes it."""
    found = get_object_or_404(Backend, name=backend)
    posted = request.method == "POST"
    to = (request.POST if posted else request.GET).get("to", "")
    state = BackendState(to) if to in BackendState else None
    if posted and state:
        control.backend_set_state(actor=request.user, backend=found, state=state)
        words = {"name": found.name, "state": state.label.lower()}
        messages.success(request, _("%(name)s is %(state)s.") % words)
        return redirect("operator_backend", backend=found.name)
    context = {
        "backend": found,
        "to": state or BackendState.DRAINING,
        "blast": backend_blast(found),
    }
    status = HTTPStatus.UNPROCESSABLE_CONTENT if posted else None
    return render(request, _dialog(request, "backend_state"), context, status=status)


def _dialog(request: OperatorRequest, page: str) -> str:
    """The template of a page, or for htmx the part of it that goes into the dialog."""
    return f"console/operator/{page}.html" + ("#part" if request.htmx else "")


def _matching(search: str, state: str) -> QuerySet[Backend]:
    """By a part of the name, the URL or a model's id, and by state."""
    found = Backend.objects.all()
    if state in BackendState:
        found = found.filter(state=state)
    by_model = Q(deployments__model__public_id__icontains=search)
    by_name = Q(name__icontains=search) | Q(base_url__icontains=search)
    return found.filter(by_name | by_model).distinct() if search else found


def _add_page(
    request: OperatorRequest, form: BackendForm, check: CheckSeen | None = None
) -> HttpResponse:
    context = {"form": form, "check": check, "has_regions": Region.objects.exists()}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, "console/operator/backend_add.html", context, status=status)


def _ask(form: BackendForm) -> CheckSeen:
    typed = form.cleaned_data
    return backend_check(Backend(base_url=typed["base_url"], sealed_key=seal(typed["key"])))


@transaction.atomic
def _register(actor: User, form: BackendForm) -> Backend:
    typed = form.cleaned_data
    fields = ("name", "base_url", "engine", "region", "key", "weight")
    backend = control.backend_register(actor=actor, **{name: typed[name] for name in fields})
    if typed["model"]:
        named = typed["engine_model"] or typed["model"].public_id
        control.model_deploy(actor=actor, model=typed["model"], backend=backend, engine_model=named)
    return backend
