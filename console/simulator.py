"""What the gateways would do with a request now. Nothing is sent, and nothing of it is kept.

The choice is made by the functions that the gateways use, of what they last told of the backends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.limits import KeyTerms
from billing.price_books import book_of
from inference.gateway.affinity import affinity_of
from inference.gateway.bodies import Body, body_decoder
from inference.gateway.endpoint import JSON, Endpoint
from inference.gateway.endpoints import ENDPOINTS
from inference.gateway.errors import BodyTooLarge, InvalidRequest, NoCapacity, RegionUnavailable
from inference.gateway.routing import model_for, routes_for
from inference.live import NOT_SEEN, BackendLive, fleet_live
from inference.models import BackendState, Deployment, Task
from inference.routing.affinity import LEAST_OPENING_BYTES, opening_of
from inference.routing.breaker import Phase, share_after
from inference.routing.choice import (
    MANY,
    Candidate,
    Decision,
    Reason,
    Scored,
    State,
    Verdict,
    choose,
    explain,
)
from inference.snapshot import KeyEntry, ModelEntry, Route, Snapshot, snapshot_load
from tenants.models import Organization

NOBODY: Final = UUID(int=0)
PATHS: Final = tuple(path for path, one in ENDPOINTS.items() if one.takes == JSON)
"""Those whose requests can be pasted: under /v1, with a body of JSON."""
_BY_FIELD: Final = {"documents": "rerank", "text_1": "score", "prompt": "completions"}
_ANTHROPIC: Final = frozenset({"system", "stop_sequences", "thinking"})
_SESSIONS: Final = {
    b"x-session-id": "X-Session-Id",
    b"x-claude-code-session-id": "X-Claude-Code-Session-Id",
}
_read_body: Final = body_decoder(Body)


_STANDINGS: Final = {
    Verdict.TRIAL: ("warn", gettext_lazy("One request may try")),
    Verdict.READY: ("ok", gettext_lazy("Ready")),
    Verdict.BUSIER: ("ok", gettext_lazy("Busier than its share")),
    Verdict.OPEN: ("bad", gettext_lazy("Breaker open")),
    Verdict.DOWN: ("bad", gettext_lazy("Check failed")),
    Verdict.FULL: ("warn", gettext_lazy("Full")),
    Verdict.SATURATED: ("warn", gettext_lazy("Saturated")),
}
_REASONS: Final = {
    Reason.ONLY: gettext_lazy("No other is ready."),
    Reason.TRIAL: gettext_lazy("Its breaker lets one request try whether it works again."),
    Reason.AFFINITY: gettext_lazy("Requests that begin like this one go there."),
    Reason.LEAST_LOADED: gettext_lazy("It has the least to do for its weight."),
    Reason.LEAST_BAD: gettext_lazy("None is ready, and it is the least bad."),
}


class Headers(dict[bytes, str]):
    """Values by name in lower case."""

    def header(self, name: bytes) -> str:
        return self.get(name, "")


class Affinity(NamedTuple):
    """The `key` that leads a request to a backend, and where that comes from."""

    key: int | None
    source: str


class Row(NamedTuple):
    """A deployment of the model. `excluded` says why it takes no part; else it is `scored`."""

    deployment: Deployment
    excluded: str
    scored: Scored | None

    @property
    def kind(self) -> str:
        """The colour of its state."""
        return _STANDINGS[self.scored.verdict][0] if self.scored else "idle"

    @property
    def word(self) -> str:
        return str(_STANDINGS[self.scored.verdict][1]) if self.scored else self.excluded


@dataclass(frozen=True, slots=True)
class Trial:
    """What would happen to a request. `refusal` is what it gets when no backend may take it.

    `fallback` is the model that would be asked next if none of these could.
    """

    endpoint: Endpoint[Any]
    model: ModelEntry
    affinity: Affinity
    rows: Sequence[Row]
    decision: Decision | None
    refusal: NoCapacity | RegionUnavailable | None
    fallback: str
    is_heard: bool

    @property
    def chosen(self) -> str:
        """The name of the backend; empty when there is none."""
        route = self.decision and self.decision.route
        return route.backend if route else ""

    @property
    def reason(self) -> str:
        return str(_REASONS.get(self.decision.reason, "")) if self.decision else ""

    @property
    def is_drawn(self) -> bool:
        """Whether only two of many are looked at."""
        ready = sum(row.scored is not None and row.scored.rank is not None for row in self.rows)
        is_by_load = self.decision and self.decision.reason is Reason.LEAST_LOADED
        return bool(is_by_load) and ready > MANY


def request_try(organization: Organization | None, path: str, headers: Headers, text: str) -> Trial:
    """What the gateways would do with the body `text` of this organization, or of one that may go
    everywhere. `path` is under /v1; empty is told by the fields.

    Raises GatewayError, with what the customer would be told.
    """
    snapshot, key, data = snapshot_load(with_keys=False), _key(organization), text.encode()
    endpoint = ENDPOINTS[path or _path(data, snapshot, key)]
    body = endpoint.read(data, JSON)
    model = model_for(snapshot, key, body.model, endpoint.task)
    if len(data) > model.limits.body_bytes:
        raise BodyTooLarge.over(model.limits.body_bytes)
    key_of_prompt = affinity_of(headers, key, model, endpoint, body)
    affinity = Affinity(key_of_prompt, _source(headers, model, endpoint, body))
    return _trial(snapshot, key, endpoint, model, affinity, len(data))


def _trial(
    snapshot: Snapshot,
    key: KeyEntry,
    endpoint: Endpoint[Any],
    model: ModelEntry,
    affinity: Affinity,
    body_bytes: int,
) -> Trial:
    live, now = fleet_live(), timezone.now()
    candidates, refusal = list[Candidate](), None
    try:
        routes = routes_for(model, key)
        candidates = [candidate_of(one, live.get(one.backend_id, NOT_SEEN), now) for one in routes]
    except (NoCapacity, RegionUnavailable) as error:
        refusal = error
    return Trial(
        endpoint=endpoint,
        model=model,
        affinity=affinity,
        rows=list(_rows(model, key, explain(candidates, affinity.key))),
        decision=choose(candidates, affinity.key, lambda: 0.5) if candidates else None,
        refusal=refusal,
        fallback=_fallback(snapshot, key, endpoint.task, model, body_bytes),
        is_heard=bool(live),
    )


def candidate_of(route: Route, live: BackendLive, now: datetime) -> Candidate:
    """A backend as the gateways see it, of what they told last."""
    weight, load = float(route.weight), live.load
    if live.breaker.state == "ramping" and live.breaker.since:
        weight *= share_after((now - live.breaker.since).total_seconds())
    return Candidate(
        route=route,
        in_flight=live.in_flight,
        weight=weight,
        waiting=load.waiting if load else None,
        kv_use=load.kv_use if load else None,
        state=_state(live, now),
    )


def _state(live: BackendLive, now: datetime) -> State:
    """An open breaker that is due lets the next request try."""
    if live.is_down:
        return State.DOWN
    until = live.breaker.until
    match live.breaker.state:
        case Phase.HALF_OPEN:
            return State.TRYING
        case Phase.OPEN:
            return State.TRYING if until and until <= now else State.OPEN
    return State.READY


def _rows(model: ModelEntry, key: KeyEntry, scored: Sequence[Scored]) -> Iterator[Row]:
    """The candidates, best first, and then the deployments that are none."""
    found = Deployment.objects.filter(model__public_id=model.public_id)
    rest = {one.backend_id: one for one in found.select_related("backend__region")}
    for one in scored:
        if deployment := rest.pop(one.candidate.route.backend_id, None):
            yield Row(deployment, "", one)
    for deployment in rest.values():
        yield Row(deployment, _exclusion(deployment, key), None)


def _exclusion(deployment: Deployment, key: KeyEntry) -> str:
    backend = deployment.backend
    if not deployment.is_enabled:
        return _("The deployment is off")
    if backend.state != BackendState.ACTIVE:
        return str(BackendState(backend.state).label)
    if key.regions is not None and backend.region_id not in key.regions:
        return _("Region not allowed")
    return _("Changed just now")


def _source(headers: Headers, model: ModelEntry, endpoint: Endpoint[Any], body: Body) -> str:
    """Where `affinity_of` has its key from, or why it has none."""
    if not model.policy.has_affinity:
        return _("None: this model’s policy has affinity off.")
    if len(model.routes) < 2:
        return _("None: there are no two backends to choose from.")
    if session := _session(headers, body):
        return _("%(name)s, which names a session.") % {"name": session}
    count = len(opening_of(endpoint.opening(body)))
    words = {"count": count, "least": LEAST_OPENING_BYTES}
    if not count:
        return _("None: an engine keeps nothing of such a request for the next.")
    if count < LEAST_OPENING_BYTES:
        return (
            _(
                "None: its opening is %(count)d bytes, and less than %(least)d are read in a moment"
                " anywhere."
            )
            % words
        )
    return _("Its opening of %(count)d bytes: the system prompt and the first message.") % words


def _session(headers: Headers, body: Body) -> str:
    """What names the session of a request, by its own name; empty when nothing does."""
    for name, shown in _SESSIONS.items():
        if headers.header(name):
            return shown
    if not body.session:
        return ""
    fields = ("prompt_cache_key", "user")
    return next((name for name in fields if getattr(body, name, None)), "metadata.user_id")


def _path(data: bytes, snapshot: Snapshot, key: KeyEntry) -> str:
    """The endpoint that takes such fields. Raises InvalidRequest."""
    named = _read_body(data).model
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).keys()
    if "messages" in fields:
        return "messages" if fields & _ANTHROPIC else "chat/completions"
    if "input" in fields:
        model = snapshot.model(named, key)
        return "embeddings" if model and Task.EMBEDDING in model.tasks else "responses"
    for field, path in _BY_FIELD.items():
        if field in fields:
            return path
    raise InvalidRequest(_("No path takes such a body: it has no messages, prompt or input."))


def _fallback(
    snapshot: Snapshot, key: KeyEntry, task: str, model: ModelEntry, body_bytes: int
) -> str:
    """The id of the model that may answer in its place; empty without one."""
    name = model.policy.fallback
    other = snapshot.model(name, key) if name else None
    if other is None or task not in other.tasks or body_bytes > other.limits.body_bytes:
        return ""
    return other.public_id


def _key(organization: Organization | None) -> KeyEntry:
    if organization is None:
        return KeyEntry(NOBODY, NOBODY, NOBODY)
    regions = frozenset(organization.allowed_regions) or None
    terms = KeyTerms(book=book_of(organization.pk))
    return KeyEntry(NOBODY, organization.pk, NOBODY, regions, organization.share, terms)
