"""Whether all usage of a time is booked: no gateway has any of it left, and no stream."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import redis
from django.db.models.functions import Now
from django.utils import timezone

from billing.balances import SILENT_MINUTES
from billing.health import GATEWAYS, SpoolSeen, waiting_read
from billing.models import Spender
from tenants.valkey import client

CLOCKS: Final = timedelta(seconds=30)
"""So far apart may the clocks of gateways be."""


class Seen(NamedTuple):
    """`spools` has None for a gateway that lives and does not say what it has left.

    `spenders` gateways let requests in, as PostgreSQL knows, and of `lost` ones nobody has heard
    for a while: their disks may hold usage. In the streams the oldest waits since `waiting_since`.
    """

    spools: Sequence[SpoolSeen | None]
    spenders: int
    lost: int
    waiting_since: datetime | None


def usage_is_complete(end: datetime) -> bool:
    """Whether all usage of before `end` is booked. False while nobody can know."""
    try:
        return is_complete(end + CLOCKS, _seen())
    except redis.RedisError:
        return False


def is_complete(end: datetime, seen: Seen) -> bool:
    """Every gateway has said that none of before `end` is left on its disk, and the streams were
    read past the last who said so. Pure.
    """
    said = [spool for spool in seen.spools if spool is not None]
    if seen.lost or len(said) < max(len(seen.spools), seen.spenders):
        return False
    if not all(_is_past(end, spool) for spool in said):
        return False
    told = max((spool.at for spool in said), default=end)
    return seen.waiting_since is None or seen.waiting_since > told


def _is_past(end: datetime, spool: SpoolSeen) -> bool:
    oldest = spool.at - timedelta(seconds=spool.oldest_s)
    return (oldest if spool.waiting else spool.at) >= end


def _seen() -> Seen:
    gateways: Any = client().hkeys(GATEWAYS)
    said: Any = client().mget([b"spool:" + name for name in gateways]) if gateways else []
    heard = Spender.objects.filter(heard_at__gt=Now() - timedelta(minutes=SILENT_MINUTES)).count()
    records, lag_s = waiting_read()
    return Seen(
        [msgspec.json.decode(one, type=SpoolSeen) if one else None for one in said],
        heard,
        Spender.objects.count() - heard,
        timezone.now() - timedelta(seconds=lag_s) if records else None,
    )
