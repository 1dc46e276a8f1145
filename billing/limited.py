"""Who was refused for which limit lately: counts that gateways add to Valkey, by hour of UTC."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis

from tenants.valkey import client


def limited_key(moment: datetime) -> str:
    """The hash of an hour. A field is `<organization id, hex>|<counter id>`."""
    return f"limited:{moment.astimezone(UTC):%Y%m%d%H}"


def limited_read(now: datetime) -> Mapping[UUID, Mapping[str, int]]:
    """Refusals since the hour before began, by organization and counter; none without Valkey."""
    found = defaultdict[UUID, defaultdict[str, int]](lambda: defaultdict(int))
    for moment in (now - timedelta(hours=1), now):
        for field, count in _hour(moment).items():
            organization, _bar, counter = field.decode().partition("|")
            found[UUID(hex=organization)][counter] += int(count)
    return found


def _hour(moment: datetime) -> dict[bytes, bytes]:
    try:
        found: Any = client().hgetall(limited_key(moment))
    except redis.RedisError:
        return {}
    return dict(found)
