"""What closes months: the work of Celery's worker, over and over, as a process of its own.

It has no lock, which outlives a killed worker: so two of them do all of it at the same time. What a
killed worker had in hand is another's within seconds, not minutes.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import ExitStack
from datetime import timedelta
from time import sleep
from typing import Final
from unittest.mock import patch

import django
import psycopg
import redis
from django.db import Error

from tests.kills.closes.steps import GO, KEY

LEASE: Final = timedelta(seconds=3)
PAUSE_S: Final = 0.1


class NoLock:
    """Everybody has it at once."""

    def acquire(self) -> bool:
        return True

    def reacquire(self) -> None: ...
    def release(self) -> None: ...


class Unlocked:
    """In place of Valkey, where the tasks take their locks."""

    def lock(self, *_name: str, **_how: object) -> NoLock:
        return NoLock()


def main() -> None:
    django.setup()
    with ExitStack() as stack:
        stack.enter_context(patch("billing.tasks.client", Unlocked))
        quick = patch.multiple("billing.payments.outbox", LEASE=LEASE, LONGEST_WAIT_S=1)
        stack.enter_context(quick)
        stack.enter_context(patch("billing.payments.inbox.LEASE", LEASE))
        while True:
            try:
                _round()
            except (Error, psycopg.Error, redis.RedisError, OSError):  # Celery would log it
                traceback.print_exc(file=sys.stderr)
            sleep(PAUSE_S)


def _round() -> None:
    """Only while nobody prepares a month, or looks at what became of one."""
    from billing import tasks

    with psycopg.connect(os.environ["DATABASE_URL"]) as db:
        db.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [KEY, GO])
        tasks.usage_ingest()
        tasks.months_close()
        tasks.payments_work()


if __name__ == "__main__":
    main()
