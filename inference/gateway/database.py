"""PostgreSQL from a process whose loop must not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from django.db import close_old_connections, connection


def in_thread[**P, T](work: Callable[P, T]) -> Callable[P, T]:
    """`work` on a connection to PostgreSQL that does not outlive it: threads come and go."""

    def act(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()

    return act


async def ask[**P, T](work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done in a thread."""
    return await asyncio.to_thread(in_thread(work), *args, **kwargs)
