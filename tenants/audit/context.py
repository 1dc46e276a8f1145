"""Where an act comes from: the request that asks for it. Pages set it, `record` reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from tenants.models import User


def _none() -> str:
    return ""


KEY_ACTS: Final = "admin_key:"
"""How an admin key has proven itself: this and its id. What it does has no person as its actor."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of the request besides who sent it; nothing for the platform's own acts.

    `auth` tells how strongly the actor has proven who they are (`password+totp`), when asked.
    `on_behalf_of` is the member whose console staff has opened.
    """

    ip: str = ""
    user_agent: str = ""
    request_id: str = ""
    auth: Callable[[], str] = _none
    on_behalf_of: User | None = None
    reason: str = ""


NOWHERE: Final = Origin()
_origin: Final = ContextVar("audit_origin", default=NOWHERE)


def origin() -> Origin:
    return _origin.get()


@contextmanager
def acting(**changes: Any) -> Iterator[None]:
    """What is recorded inside comes from here, with `changes` of the fields of `Origin`."""
    token = _origin.set(replace(_origin.get(), **changes))
    try:
        yield
    finally:
        _origin.reset(token)
