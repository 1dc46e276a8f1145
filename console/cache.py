"""What Django keeps for a while: counts of log-ins. As JSON, so that nothing is unpickled.

While Valkey is away each process keeps its own: people can log in, and are counted all the same.
"""

from __future__ import annotations

import json
from typing import Any, override

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from redis import RedisError

from tenants.valkey import client


class ValkeyCache(BaseCache):
    """Of JSON values: a tuple comes back as a list."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._ours = LocMemCache("console", params)

    @override
    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        try:
            kept: Any = client().get(self.make_and_validate_key(key, version))
        except RedisError:
            return self._ours.get(key, default, version)
        return default if kept is None else json.loads(kept)

    @override
    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        try:
            self._put(key, value, timeout, version)
        except RedisError:
            self._ours.set(key, value, timeout, version)

    @override
    def add(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        try:
            return self._put(key, value, timeout, version, only_new=True)
        except RedisError:
            return self._ours.add(key, value, timeout, version)

    @override
    def delete(self, key: str, version: int | None = None) -> bool:
        try:
            return bool(client().delete(self.make_and_validate_key(key, version)))
        except RedisError:
            return self._ours.delete(key, version)

    @override
    def touch(
        self,
        key: str,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        kept = self.get(key, self, version)
        if kept is not self:
            self.set(key, kept, timeout, version)
        return kept is not self

    @override
    def clear(self) -> None:
        self._ours.clear()
        for key in client().scan_iter(f"{self.key_prefix}:*"):
            client().delete(key)

    def _put(
        self,
        key: str,
        value: Any,
        timeout: float | None,
        version: int | None,
        *,
        only_new: bool = False,
    ) -> bool:
        """Whether it was put: not when it is there already and only a new one is asked for."""
        lasts_s = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        if lasts_s is not None and lasts_s <= 0:
            if not only_new:
                self.delete(key, version)
            return False
        lasts_ms = None if lasts_s is None else max(1, int(lasts_s * 1000))
        name = self.make_and_validate_key(key, version)
        return bool(client().set(name, json.dumps(value), px=lasts_ms, nx=only_new))
