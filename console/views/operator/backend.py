"""The operator's page of one backend, and the form that changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from console.access import operator_page
from console.http import OperatorRequest
from console.operator_forms import BackendEditForm
from console.templatetags.ui import number, span
from console.views.operator.answers import template_of
from console.views.operator.deployments import DeploymentRow, deployment_rows
from console.views.operator.health import (
    BackendRow,
    backend_blast,
    backend_rows,
    with_deployments,
)
from console.views.operator.timeline import SHOWN, condition_now, events_of, strip_of
from console.views.operator.trends import RANGES, chosen_range, trends_read
from inference import control
from inference.live import NOT_SEEN, BackendLive, CheckSeen, checks_read, timeline_read
from inference.models import Backend

COSTS: Final = 5


@require_safe
@vary_on_headers("HX-Request")
@operator_page
def operator_backend(request: OperatorRequest, backend: str) -> HttpResponse:
    """All of one backend, or for htmx the parts of it that are live."""
    found = get_object_or_404(with_deployments(Backend.objects.all()), name=backend)
    chosen, now = chosen_range(request.GET), timezone.now()
    (row,) = backend_rows([found], now)
    live, events = row.live, events_of(timeline_read(found.pk), found)
    condition = condition_now(found, live)
    context = {
        "backend": found,
        "row": row,
        "now": now,
        "live": live,
        "is_seen": live is not NOT_SEEN,
        "standing": standing(row, now),
        "range": chosen,
        "ranges": RANGES.values(),
        "figures": trends_read(found.pk, chosen, now, live),
        "events": events[:SHOWN],
        "blast": backend_blast(found) if condition.kind == "bad" else None,
        "strip": strip_of(events, condition, chosen.start(now), now),
        "checks": Checks(checks_read(found.pk)),
        "deployments": _deployments(found, live),
        "costs": found.costs.all()[:COSTS],
    }
    part = "_backend_live" if request.htmx else "backend"
    return render(request, f"console/operator/{part}.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
@operator_page
def operator_backend_edit(request: OperatorRequest, backend: str) -> HttpResponse:
    """How much work it gets."""
    found = get_object_or_404(Backend, name=backend)
    form = BackendEditForm.of(found, request.POST if request.method == "POST" else None)
    if form.is_valid():
        control.backend_update(actor=request.user, backend=found, **form.facts)
        messages.success(request, _("Saved. The gateways know within a second."))
        return redirect("operator_backend", backend=found.name)
    context = {"backend": found, "form": form}
    status = HTTPStatus.UNPROCESSABLE_CONTENT if form.errors else None
    return render(request, template_of(request, "backend_edit"), context, status=status)


class Standing(NamedTuple):
    """Its state in a word, and in a sentence what that means just now; empty where it says all."""

    word: str
    text: str


def standing(row: BackendRow, now: datetime) -> Standing:
    live = row.live
    if row.is_active:
        return Standing(row.word, _breaker_words(live, now))
    if live.in_flight:
        text = ngettext("%(n)s request still runs.", "%(n)s requests still run.", live.in_flight)
        return Standing(row.word, text % {"n": number(live.in_flight)})
    if row.is_disabled or live is NOT_SEEN:
        return Standing(row.word, "")
    return Standing(_("Drained"), _("Nothing runs on it any more: it can be stopped."))


def _breaker_words(live: BackendLive, now: datetime) -> str:
    since, until = live.breaker.since, live.breaker.until
    words = {
        "since": f"{since:%H:%M:%S}" if since else "",
        "left": span(until - now) if until and until > now else _("a moment"),
    }
    match live.breaker.state:
        case "open":
            return _("Since %(since)s, next trial in %(left)s.") % words
        case "half_open":
            return _("Half open since %(since)s: one request tries it.") % words
        case "ramping":
            return _("Breaker closed at %(since)s, full share in %(left)s.") % words
    return ""


@dataclass(frozen=True, slots=True)
class Checks:
    """The last active checks, newest first."""

    rows: Sequence[CheckSeen]

    @property
    def last(self) -> CheckSeen | None:
        return self.rows[0] if self.rows else None

    @property
    def failed(self) -> int:
        return sum(not row.ok for row in self.rows)

    @property
    def parts(self) -> list[tuple[str, float, float]]:
        """Oldest first, as a strip of squares."""
        width = 1 / max(1, len(self.rows))
        kinds = ["ok" if row.ok else "bad" for row in reversed(self.rows)]
        return [(kind, at * width, 0.85 * width) for at, kind in enumerate(kinds)]

    @property
    def sentence(self) -> str:
        words = {"good": len(self.rows) - self.failed, "failed": self.failed}
        return _("%(good)d good, %(failed)d failed") % words


def _deployments(backend: Backend, live: BackendLive) -> list[tuple[DeploymentRow, bool]]:
    """Each with whether the engine, when last asked, did not name it."""
    check = live.check
    named: Any = check.models if check and check.ok else None
    rows = deployment_rows(backend.deployments.all())
    return [(row, named is not None and row.deployment.engine_model not in named) for row in rows]
