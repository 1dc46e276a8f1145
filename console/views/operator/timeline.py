"""What became of one backend: its breaker, its checks, and what people did to it, as one story."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.audit_words import action_said, changes_said, who_said
from console.templatetags.ui import percent_of, span
from inference.live import BackendLive, Transition
from inference.models import Backend, BackendState
from tenants.models import AuditEntry

SECOND: Final = timedelta(seconds=1)
SHOWN: Final = 20
ACTS: Final = 50
"""People's acts that are read; gateways keep as many transitions."""


class Condition(NamedTuple):
    """All that decides whether a backend takes work."""

    breaker: str
    is_down: bool
    state: str

    @property
    def kind(self) -> str:
        if self.state != BackendState.ACTIVE:
            return "idle"
        if self.is_down or self.breaker == "open":
            return "bad"
        return "ok" if self.breaker == "closed" else "warn"


@dataclass(frozen=True, slots=True)
class Event:
    """`change` is what it made of the condition: a field and its value; nothing for what only
    people care about. `before` is that field's value until then.
    """

    at: datetime
    kind: str
    what: str
    note: str
    change: tuple[str, Any] | None = None
    before: Any = None

    def done(self, condition: Condition) -> Condition:
        return condition._replace(**{self.change[0]: self.change[1]}) if self.change else condition

    def undone(self, condition: Condition) -> Condition:
        return condition._replace(**{self.change[0]: self.before}) if self.change else condition


_WORDS: Final[dict[str, tuple[str, Promise]]] = {
    "open": ("bad", gettext_lazy("Breaker opened: requests go elsewhere")),
    "half_open": ("warn", gettext_lazy("Half open: one request is let through as a trial")),
    "closed": ("ok", gettext_lazy("Breaker closed: it takes work, soon its full share")),
    "down": ("bad", gettext_lazy("Checks fail: requests go elsewhere")),
    "up": ("ok", gettext_lazy("Checks are answered again")),
}
_BEFORE: Final = {"open": "closed", "half_open": "open", "closed": "half_open"}
_STATES: Final[dict[str, tuple[str, Promise]]] = {
    BackendState.ACTIVE: ("ok", gettext_lazy("Taken back into work")),
    BackendState.DRAINING: ("idle", gettext_lazy("Drained: no new requests, what runs goes on")),
    BackendState.DISABLED: ("idle", gettext_lazy("Disabled")),
}


def events_of(transitions: Iterable[Transition], backend: Backend) -> list[Event]:
    """Newest first: what the gateways saw, and what people did. One query."""
    events = [*map(_transition, transitions), *_acts(backend)]
    return sorted(events, key=lambda event: event.at, reverse=True)


def _transition(seen: Transition) -> Event:
    kind, what = _WORDS[seen.state]
    note = " · ".join(filter(None, (seen.reason, seen.gateway)))
    if seen.state in {"down", "up"}:
        is_down = seen.state == "down"
        return Event(seen.at, kind, str(what), note, ("is_down", is_down), not is_down)
    before = _BEFORE[seen.state]
    return Event(seen.at, kind, str(what), note, ("breaker", seen.state), before)


def _acts(backend: Backend) -> list[Event]:
    entries = AuditEntry.objects.filter(target_type="backend", target_id=str(backend.pk))
    return list(map(_act, entries.select_related("actor", "on_behalf_of")[:ACTS]))


def _act(entry: AuditEntry) -> Event:
    who = who_said(entry)
    if entry.action == "backend.set_state":
        kind, what = _STATES[entry.data["after"]]
        change = ("state", entry.data["after"])
        return Event(entry.created_at, kind, str(what), who, change, entry.data["before"])
    name = action_said(entry.action)
    changes = ", ".join(changes_said(entry))
    return Event(entry.created_at, "idle", f"{name}: {changes}" if changes else name, who)


# The strip


class Part(NamedTuple):
    """A stretch of the range in one kind: where it starts and how long it is, of 1."""

    kind: str
    start: float
    length: float


@dataclass(frozen=True, slots=True)
class Strip:
    parts: Sequence[Part]
    start: datetime
    now: datetime

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Each kind that there was for a second at least, with how much of it."""
        kinds = (
            ("ok", _("Takes work %(share)s")),
            ("warn", _("Coming back %(time)s")),
            ("bad", _("Out %(time)s")),
            ("idle", _("Taken out %(time)s")),
        )
        least = SECOND / (self.now - self.start)
        return [
            (kind, text % self._words(kind)) for kind, text in kinds if self._share(kind) >= least
        ]

    @property
    def sentence(self) -> str:
        return ", ".join(text for _kind, text in self.legend)

    def _share(self, kind: str) -> float:
        return sum(part.length for part in self.parts if part.kind == kind)

    def _words(self, kind: str) -> dict[str, str]:
        share = self._share(kind)
        return {"share": percent_of(share, 1), "time": span((self.now - self.start) * share)}


def condition_now(backend: Backend, live: BackendLive) -> Condition:
    return Condition(live.breaker.state, live.is_down, backend.state)


def strip_of(
    events: Sequence[Event], condition: Condition, start: datetime, now: datetime
) -> Strip:
    """The kinds from `start` to `now`, out of the newest `events`, newest first.

    Before the oldest event of a field it was what that event ended; a field without any was always
    as it is in `condition`, which is that of now.
    """
    told = [event for event in events if event.change]
    for event in told:
        condition = event.undone(condition)
    parts, at = list[Part](), start
    for event in reversed(told):
        until = min(max(event.at, at), now)
        parts.append(Part(condition.kind, _place(at, start, now), (until - at) / (now - start)))
        condition, at = event.done(condition), until
    parts.append(Part(condition.kind, _place(at, start, now), (now - at) / (now - start)))
    return Strip(_joined(parts), start, now)


def _place(at: datetime, start: datetime, now: datetime) -> float:
    return (at - start) / (now - start)


def _joined(parts: Iterable[Part]) -> list[Part]:
    """Neighbours of one kind as one; what takes no time is left out."""
    joined = list[Part]()
    for part in parts:
        if joined and joined[-1].kind == part.kind:
            joined[-1] = joined[-1]._replace(length=joined[-1].length + part.length)
        elif part.length:
            joined.append(part)
    return joined
