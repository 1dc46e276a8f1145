"""What the prober knows of one backend: in or out, how busy, and what is new since it was told."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from billing.metering import ENGINE_TOKENS_KEPT_S, engine_tokens_key
from inference.engines import EngineLoad
from inference.gateway.neighbours import Command
from inference.live.minutes import BACKEND_KEPT_S, PER_MILLE, backend_minute_key
from inference.live.seen import (
    BACKENDS,
    CHECKS_KEPT,
    DAY_S,
    TIMELINE_KEPT_S,
    TRANSITIONS_KEPT,
    BackendSaid,
    CheckSeen,
    LoadSeen,
    checks_key,
    encode,
    timeline_key,
)
from inference.snapshot import BackendEntry

TO_TURN: Final = 2
"""Checks in a row: one that fails is a blip, one that succeeds may be luck."""
ANSWERS_AGAIN: Final = "it answers again"


class Watch:
    """`said` is what was known of the backend before; None makes its first check decide."""

    def __init__(self, entry: BackendEntry, said: BackendSaid | None, gateway: str) -> None:
        self.entry, self._gateway = entry, gateway
        self._said = said or BackendSaid()
        self._is_known, self._against = said is not None and said.check is not None, 0
        self._minute = ""
        self._highest: dict[str, int] = {}
        self._commands: list[Command] = []

    @property
    def is_down(self) -> bool:
        return self._said.is_down

    def checked(self, check: CheckSeen) -> None:
        """Take a backend out or in when enough checks agree that it is not where it should be."""
        self._against = self._against + 1 if check.ok is self.is_down else 0
        is_turned = self._against >= (TO_TURN if self._is_known else 1)
        self._is_known = True
        self._said = BackendSaid(self.is_down is not is_turned, check, self._said.load)
        if is_turned:
            self._against = 0
            self._turned("down" if self.is_down else "up", check.error or ANSWERS_AGAIN)
        key = checks_key(self.entry.id)
        self._commands += (
            ("LPUSH", key, encode(check)),
            ("LTRIM", key, 0, CHECKS_KEPT - 1),
            ("EXPIRE", key, DAY_S),
            ("HSET", BACKENDS, str(self.entry.id), encode(self._said)),
        )

    def scraped(self, load: EngineLoad | None, at: datetime) -> None:
        """Of counters the growth is added up; those of an engine that began anew begin at zero."""
        before, seen = self._said.load, LoadSeen(at, *load) if load else None
        self._said = BackendSaid(self.is_down, self._said.check, seen or before)
        if seen is None:
            return
        self._commands.append(("HSET", BACKENDS, str(self.entry.id), encode(self._said)))
        key = backend_minute_key(self.entry.id, at)
        for field in ("prefix_queries", "prefix_hits"):
            if grown := _grown(getattr(before, field, None), getattr(seen, field)):
                self._commands.append(("HINCRBY", key, field, grown))
        kv_use = None if seen.kv_use is None else round(seen.kv_use * PER_MILLE)
        self._note(key, waiting=seen.waiting, kv_use=kv_use)
        self._count_tokens(before, seen)

    def _count_tokens(self, before: LoadSeen | None, seen: LoadSeen) -> None:
        """For the hour's comparison with what the gateways counted."""
        key, backend = engine_tokens_key(seen.at), self.entry.name
        for field in ("input", "output"):
            was, now = (getattr(load, f"{field}_tokens", None) for load in (before, seen))
            if was is None or now is None or was == now:
                continue
            self._commands.append(("HINCRBY", key, f"{field}:{backend}", _grown(was, now)))
            if now < was:
                self._commands.append(("HSET", key, f"reset:{backend}", 1))
            self._commands.append(("EXPIRE", key, ENGINE_TOKENS_KEPT_S))

    def in_flight(self, count: int, at: datetime) -> None:
        self._note(backend_minute_key(self.entry.id, at), in_flight=count)

    def news(self) -> list[Command]:
        """What is to be written since the last call."""
        news, self._commands = self._commands, []
        return news

    def _note(self, key: str, **values: int | None) -> None:
        """Keep the highest value of the minute."""
        if key != self._minute:
            self._minute, self._highest = key, {}
        for field, value in values.items():
            if value is not None and value > self._highest.get(field, -1):
                self._highest[field] = value
                self._commands += (("HSET", key, field, value), ("EXPIRE", key, BACKEND_KEPT_S))

    def _turned(self, state: str, reason: str) -> None:
        key = timeline_key(self.entry.id)
        self._commands += (
            ("XADD", key, "MAXLEN", TRANSITIONS_KEPT, "*",
             "state", state, "reason", reason, "gateway", self._gateway),
            ("EXPIRE", key, TIMELINE_KEPT_S),
        )  # fmt: skip


def _grown(before: int | None, now: int | None) -> int:
    if before is None or now is None:
        return 0
    return now - before if now >= before else now
