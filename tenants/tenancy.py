"""As whom this process asks PostgreSQL right now, which shows it the rows of that one alone.

| Standing | Role | Sees |
|---|---|---|
| `LOGIN` | the login's own | all for the worker and the gateways, nothing for the console |
| `NOBODY` | `sluice_app` | no row that is an organization's |
| `recognize` | `sluice_app` | besides, the memberships of a person, and their organizations |
| `member` | `sluice_app` | the rows of one organization |
| `STAFF` | `sluice_operator` | all |
| `everything` | `sluice_operator` | all, for as long as a block runs, and it says why |

`tenants.database` tells PostgreSQL, when a query comes; `tenants.isolation` has the policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

OWNER_ROLE: Final = "sluice_owner"
APP_ROLE: Final = "sluice_app"
WORKER_ROLE: Final = "sluice_worker"
OPERATOR_ROLE: Final = "sluice_operator"


@dataclass(frozen=True, slots=True)
class Standing:
    """An empty `role` is the login's own; `organization` and `user` are ids, or empty."""

    role: str = ""
    organization: str = ""
    user: str = ""


LOGIN: Final = Standing()
NOBODY: Final = Standing(APP_ROLE)
STAFF: Final = Standing(OPERATOR_ROLE)
OWNER: Final = Standing(OWNER_ROLE)

_current: ContextVar[Standing] = ContextVar("standing", default=LOGIN)


def current() -> Standing:
    return _current.get()


def member(organization_id: UUID, user_id: int | None = None) -> Standing:
    """Of an organization; `user_id` is None where an admin key speaks for it."""
    return Standing(APP_ROLE, str(organization_id), str(user_id or ""))


def become(standing: Standing) -> None:
    """Until the block around it ends: that of `standing_as`, which each request has."""
    _current.set(standing)


@contextmanager
def standing_as(standing: Standing) -> Iterator[None]:
    before = _current.set(standing)
    try:
        yield
    finally:
        _current.reset(before)


@contextmanager
def everything(reason: str) -> Iterator[None]:
    """See all rows, where an organization is not known yet. `reason` says why that must be."""
    if not reason:
        raise ValueError("Say why.")
    with standing_as(current() if current() in (LOGIN, OWNER) else STAFF):
        yield


def recognize(user_id: int) -> None:
    """See what `user_id` sees of their own, beside what is to be seen anyway."""
    if current().role == APP_ROLE:
        become(replace(current(), user=str(user_id)))


@contextmanager
def also_as(user_id: int) -> Iterator[None]:
    """`recognize`, until the block ends."""
    with standing_as(current()):
        recognize(user_id)
        yield
