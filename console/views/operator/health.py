"""What is wrong with the fleet now, and what a change would break."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.pricing import NO_PRICES, prices_by_model
from console.templatetags.ui import span
from inference.live import NOT_SEEN, BackendLive, CheckSeen, down_read, fleet_live, in_flight_read
from inference.models import Backend, BackendState, Deployment, Model

STALE_AFTER: Final = timedelta(seconds=30)
"""Checks come every 5 s; past this no gateway runs."""


class Rank(IntEnum):
    """What needs a look first."""

    DOWN = 0
    OPEN = 1
    UNKNOWN = 2
    DRAINING = 3
    DISABLED = 4
    HEALTHY = 5


_KINDS: Final = {
    Rank.DOWN: "bad",
    Rank.OPEN: "bad",
    Rank.UNKNOWN: "warn",
    Rank.DRAINING: "idle",
    Rank.DISABLED: "idle",
    Rank.HEALTHY: "ok",
}


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend as a table shows it. Reads `backend.deployments`, so prefetch them."""

    backend: Backend
    rank: Rank
    live: BackendLive

    @property
    def in_flight(self) -> int:
        return self.live.in_flight

    @property
    def check(self) -> CheckSeen | None:
        """The last one."""
        return self.live.check

    @property
    def error(self) -> str:
        """Why it is down."""
        return self.check.error if self.check else ""

    @property
    def kind(self) -> str:
        return _KINDS[self.rank]

    @property
    def word(self) -> str:
        match self.rank:
            case Rank.DOWN:
                return _("Not answering")
            case Rank.OPEN:
                return _("Breaker open")
            case Rank.UNKNOWN:
                return _("Not checked")
            case _:
                return str(self.backend.get_state_display())

    @property
    def models(self) -> list[str]:
        return sorted(d.model.public_id for d in self.backend.deployments.all() if d.is_enabled)

    @property
    def is_active(self) -> bool:
        return self.backend.state == BackendState.ACTIVE

    @property
    def is_disabled(self) -> bool:
        return self.backend.state == BackendState.DISABLED


def with_deployments(backends: QuerySet[Backend]) -> QuerySet[Backend]:
    deployments = Deployment.objects.select_related("model")
    return backends.select_related("region").prefetch_related(Prefetch("deployments", deployments))


def backend_rows(backends: Sequence[Backend], now: datetime) -> list[BackendRow]:
    fleet = fleet_live()
    seen = [(backend, fleet.get(backend.pk, NOT_SEEN)) for backend in backends]
    return [BackendRow(backend, backend_rank(backend, live, now), live) for backend, live in seen]


def backend_rank(backend: Backend, live: BackendLive, now: datetime) -> Rank:
    if backend.state == BackendState.DISABLED:
        return Rank.DISABLED
    if backend.state == BackendState.DRAINING:
        return Rank.DRAINING
    if live.check is None or now - live.check.at > STALE_AFTER:
        return Rank.UNKNOWN
    if live.is_down:
        return Rank.DOWN
    return Rank.OPEN if live.breaker.is_open else Rank.HEALTHY


def can_serve(backend: Backend, down: Collection[UUID]) -> bool:
    """Whether the gateways send to it: all that are active, but those that checks found `down`."""
    return backend.state == BackendState.ACTIVE and backend.pk not in down


@dataclass(frozen=True, slots=True)
class Problem:
    """`what` is wrong, what it `means`, and the page where it is mended."""

    what: str
    means: str
    url: str
    link: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """All backends, those that need a look first, and what is wrong."""

    rows: Sequence[BackendRow]
    problems: Sequence[Problem]

    @property
    def healthy(self) -> int:
        return sum(row.rank is Rank.HEALTHY for row in self.rows)

    @property
    def in_flight(self) -> int:
        return sum(row.in_flight for row in self.rows)

    @property
    def aside(self) -> str:
        """Backends that take no work, counted by why."""
        down = sum(row.rank is Rank.DOWN for row in self.rows)
        opened = sum(row.rank is Rank.OPEN for row in self.rows)
        unknown = sum(row.rank is Rank.UNKNOWN for row in self.rows)
        parked = sum(row.rank in {Rank.DRAINING, Rank.DISABLED} for row in self.rows)
        words = (
            (down, ngettext("%(n)s not answering", "%(n)s not answering", down)),
            (opened, ngettext("%(n)s breaker open", "%(n)s breakers open", opened)),
            (unknown, ngettext("%(n)s not checked", "%(n)s not checked", unknown)),
            (parked, ngettext("%(n)s taken out", "%(n)s taken out", parked)),
        )
        return ", ".join(word % {"n": count} for count, word in words if count)

    @property
    def first(self) -> Sequence[BackendRow]:
        return self.rows[:6]


def fleet_read(now: datetime) -> Fleet:
    rows = backend_rows(list(with_deployments(Backend.objects.all())), now)
    rows.sort(key=lambda row: (row.rank, -row.in_flight, row.backend.name))
    return Fleet(rows, _problems(rows, now))


def _problems(rows: Sequence[BackendRow], now: datetime) -> list[Problem]:
    """Worst first: models that cannot be served, then backends that do not serve."""
    serving = _serving(rows)
    models = list(Model.objects.enabled())
    priced = prices_by_model(now)
    return [
        *(
            _unpriced(model)
            for model in models
            if not priced.get(model.public_id, NO_PRICES).covers(model.components)
        ),
        *(_unrouted(model) for model in models if not serving.get(model.public_id)),
        *(_backend_problem(row, serving, now) for row in rows if _needs_notice(row)),
    ]


def _serving(rows: Sequence[BackendRow]) -> dict[str, list[str]]:
    """Model -> names of the backends that the gateway sends it to."""
    serving: dict[str, list[str]] = {}
    down = {row.backend.pk for row in rows if row.live.is_down}
    for row in rows:
        if can_serve(row.backend, down):
            for model in row.models:
                serving.setdefault(model, []).append(row.backend.name)
    return serving


def _needs_notice(row: BackendRow) -> bool:
    """A disabled backend that serves nothing is at rest, and no news."""
    is_wrong = row.rank in {Rank.DOWN, Rank.OPEN, Rank.UNKNOWN}
    return is_wrong or (row.is_disabled and bool(row.models))


def _unpriced(model: Model) -> Problem:
    return Problem(
        what=_("%(model)s has no full set of rates.") % {"model": model.public_id},
        means=_("It is enabled, but customers get 404 until it is priced."),
        url=reverse("operator_model_rates", args=[model.public_id]),
        link=_("Set rates"),
    )


def _unrouted(model: Model) -> Problem:
    return Problem(
        what=_("%(model)s has no backend.") % {"model": model.public_id},
        means=_("Every request for it gets 503."),
        url=reverse("operator_model", args=[model.public_id]),
        link=_("Open model"),
    )


def _backend_problem(
    row: BackendRow, serving: Mapping[str, Sequence[str]], now: datetime
) -> Problem:
    name = row.backend.name
    match row.rank:
        case Rank.DOWN:
            what = _("%(backend)s does not answer.") % {"backend": name}
            means = " ".join(filter(None, (row.error, _left(row, serving))))
        case Rank.OPEN:
            what = _("%(backend)s fails too often: its breaker is open.") % {"backend": name}
            means = _left(row, serving)
        case Rank.UNKNOWN:
            what, means = _("%(backend)s is not checked.") % {"backend": name}, _age(row, now)
        case _:
            what = _("%(backend)s is disabled.") % {"backend": name}
            means = _left(row, serving)
    url = reverse("operator_backend", args=[name])
    return Problem(what, means, url, _("Open backend"))


def _age(row: BackendRow, now: datetime) -> str:
    if row.check is None:
        return _("No check is known: a gateway makes one every 5 s.")
    age = span(now - row.check.at)
    return _("The last check was %(age)s ago: is a gateway running?") % {"age": age}


def _left(row: BackendRow, serving: Mapping[str, Sequence[str]]) -> str:
    """Where the models of a backend that is out still run."""
    lines = []
    for model in row.models:
        others = [name for name in serving.get(model, ()) if name != row.backend.name]
        if len(others) == 1:
            text = _("%(model)s runs on %(backend)s alone.")
            lines.append(text % {"model": model, "backend": others[0]})
        elif others:
            text = _("%(model)s runs on %(count)d other backends.")
            lines.append(text % {"model": model, "count": len(others)})
    return " ".join(lines)


@dataclass(frozen=True, slots=True)
class Blast:
    """What taking a backend out breaks: requests in flight, and models without another backend."""

    in_flight: int
    models: Sequence[str]
    stranded: Sequence[str]


def backend_blast(backend: Backend) -> Blast:
    here = Deployment.objects.filter(backend=backend, is_enabled=True)
    models = Model.objects.enabled().filter(deployments__in=here)
    elsewhere = Deployment.objects.routed().exclude(backend=backend).filter(model__in=models)
    served = {d.model_id for d in elsewhere.exclude(backend__in=down_read())}
    return Blast(
        in_flight=in_flight_read().get(str(backend.pk), 0),
        models=[model.public_id for model in models],
        stranded=[model.public_id for model in models if model.pk not in served],
    )
