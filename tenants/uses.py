"""When and from where each key was last used: noted in Valkey by the gateways, kept by the minute.

No request writes: a gateway notes once a second what it saw, and a beat brings it home once a
minute. What Valkey loses is a minute of that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import redis
from django.db import connection

from tenants.valkey import client

USED: Final = "keys:used"
"""By the digest of a secret, the minute (unix) and the network: `29387512|2001:db8::/48`."""
_TAKEN: Final = "keys:used:taken"

_KEEP: Final = """
WITH seen AS (
    SELECT * FROM unnest(%s::bytea[], %s::timestamptz[], %s::text[]) AS seen(digest, at, network)
), old AS (
    UPDATE tenants_retiringsecret old SET last_used_at = seen.at, last_network = seen.network
    FROM seen WHERE old.digest = seen.digest
        AND (old.last_used_at IS NULL OR old.last_used_at <= seen.at)
    RETURNING old.api_key_id AS id, seen.at, seen.network
), latest AS (
    SELECT DISTINCT ON (id) id, at, network FROM (
        SELECT key.id, seen.at, seen.network FROM tenants_apikey key
            JOIN seen ON key.digest = seen.digest
        UNION ALL SELECT id, at, network FROM old
    ) found ORDER BY id, at DESC
), admin AS (
    UPDATE tenants_adminkey key SET last_used_at = seen.at, last_network = seen.network
    FROM seen WHERE key.digest = seen.digest
        AND (key.last_used_at IS NULL OR key.last_used_at <= seen.at)
)
UPDATE tenants_apikey key SET last_used_at = latest.at, last_network = latest.network
FROM latest WHERE key.id = latest.id
    AND (key.last_used_at IS NULL OR key.last_used_at <= latest.at)
"""


def use_note(moment: datetime, network: str) -> str:
    """What is noted of a use."""
    return f"{int(moment.timestamp()) // 60}|{network}"


def is_used(digest: bytes) -> bool:
    """Whether a use of the secret is noted that is not kept yet."""
    try:
        return bool(client().hexists(USED, digest))
    except redis.RedisError:
        return False


def uses_keep() -> int:
    """Bring home what was noted, in one statement. How many keys it was of."""
    noted = _taken()
    if noted:
        with connection.cursor() as cursor:
            cursor.execute(_KEEP, _columns(noted))
        client().delete(_TAKEN)
    return len(noted)


def _taken() -> dict[bytes, bytes]:
    """What was noted so far, or what a run took that died on its way."""
    store = client()
    if not store.exists(_TAKEN):
        if not store.exists(USED):
            return {}
        store.rename(USED, _TAKEN)
    found: Any = store.hgetall(_TAKEN)
    return dict(found)


def _columns(noted: dict[bytes, bytes]) -> list[list[Any]]:
    digests, moments, networks = list[bytes](), list[datetime](), list[str]()
    for digest, note in noted.items():
        minute, _, network = note.decode().partition("|")
        digests.append(digest)
        moments.append(datetime.fromtimestamp(int(minute) * 60, UTC))
        networks.append(network)
    return [digests, moments, networks]
