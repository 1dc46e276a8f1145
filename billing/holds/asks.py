"""What is asked of the holds and what they answer. Money is in nano: 10⁻⁹ EUR, whole numbers."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from billing.models import LimitKind

MOST: Final = 2**53
"""The largest number that Valkey's scripts know exactly: nine million EUR in nano."""


class LimitAsk(NamedTuple):
    """A limit to be counted. Of tokens, `cost` is a guess; more or less counts when it ends."""

    id: str
    kind: LimitKind
    value: int
    cost: int = 1


class Ask(NamedTuple):
    """One request. `scopes` are the balances that must cover `amount_nano`; none: no limit."""

    hold: UUID
    organization_id: UUID
    amount_nano: int
    scopes: tuple[str, ...]
    limits: tuple[LimitAsk, ...]
    gateway: str


class LimitState(NamedTuple):
    """How a limit stands. `reset_s`: until it is whole again, or its day ends."""

    id: str
    kind: LimitKind
    limit: int
    remaining: int
    reset_s: float


class Granted(NamedTuple):
    """The hold stands. A repeat counted nothing anew."""

    limits: tuple[LimitState, ...]
    is_repeat: bool


class Denied(NamedTuple):
    """Nothing was changed. `by` is the first limit, else the first scope, that does not allow it.

    Of a scope, `limit` is its balance as posted and `used` what is unposted or held of it, in nano.
    `retry_after_s` is None where waiting does not help.
    """

    by: str
    kind: LimitKind | None
    limit: int
    used: int
    retry_after_s: float | None
    limits: tuple[LimitState, ...]


class Unknown(NamedTuple):
    """Valkey has no balance of `scopes` that may be trusted: seed it, then ask again."""

    scopes: tuple[str, ...]


class StoreAway(Exception):  # noqa: N818 - a state of things, as is HoldInvalid
    """Valkey did not answer: nobody knows whether the call had its effect. All may be repeated."""


class HoldInvalid(ValueError):  # noqa: N818
    """The call itself is wrong: a number beyond MOST, or a hold that has ended before."""
