"""Commands that change tables, or empty them, do so as the owner of all tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import dj_database_url
from django.conf import settings
from django.db import connection

from tenants.tenancy import OWNER, standing_as

_LOGIN: Final = ("USER", "PASSWORD", "HOST", "PORT", "NAME")


@contextmanager
def owners_login() -> Iterator[None]:
    """That of DATABASE_OWNER_URL; without one the usual login must do."""
    if not settings.DATABASE_OWNER_URL:
        yield
        return
    usual = dict(connection.settings_dict)
    try:
        _log_in(dj_database_url.parse(settings.DATABASE_OWNER_URL))
        yield
    finally:
        _log_in(usual)


@contextmanager
def as_owner() -> Iterator[None]:
    with owners_login(), standing_as(OWNER):
        yield


def _log_in(login: Mapping[str, Any]) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # of PostgreSQL alone
    connection.settings_dict.update({name: login[name] for name in _LOGIN})
