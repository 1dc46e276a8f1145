"""Reading from a Valkey that may be away."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import msgspec
import redis
import structlog

log = structlog.get_logger()


def tolerant[**P, T](
    empty: Callable[[], T],
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """The decorated function answers with `empty()` while Valkey is away.

    So it does with what gateways of another version wrote.
    """

    def decorate(read: Callable[P, T]) -> Callable[P, T]:
        @wraps(read)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return read(*args, **kwargs)
            except (redis.RedisError, msgspec.DecodeError) as error:
                log.warning("live.read_failed", error=type(error).__name__)
                return empty()

        return wrapped

    return decorate


def text_of(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
