"""Connections to Valkey, and the channel on which a change of the snapshot is announced."""

from __future__ import annotations

import time
from functools import cache
from typing import Final

import redis
import redis.asyncio
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

SNAPSHOT_CHANNEL: Final = "snapshot"
SNAPSHOT_VERSION: Final = "snapshot:version"
"""Another number after each change, also when Valkey has lost it; the same one is announced."""

log = structlog.get_logger()


@cache
def client() -> redis.Redis:
    """The process's blocking client. It tries once more, for a connection that went stale."""
    return redis.Redis.from_url(
        settings.VALKEY_URL,
        socket_timeout=5,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), retries=1),
    )


def async_client() -> redis.asyncio.Redis:
    """A new client for the running event loop; the caller closes it."""
    return redis.asyncio.Redis.from_url(
        settings.VALKEY_URL, socket_timeout=5, socket_connect_timeout=2
    )


def snapshot_changed() -> None:
    """Tell every gateway to reload. Without Valkey they reload by age instead."""
    try:
        version = time.time_ns()
        client().set(SNAPSHOT_VERSION, version)
        client().publish(SNAPSHOT_CHANNEL, version)
    except redis.RedisError as error:
        log.warning("snapshot.announce_failed", error=type(error).__name__)
