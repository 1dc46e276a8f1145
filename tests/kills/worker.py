"""What books usage: the work that Celery's worker does each second, as a process of its own.

It has no broker, whose connections take seconds to come back, and no lock, which outlives a killed
worker by as many: a short run has no time for either. A long run has Celery.
"""

from __future__ import annotations

import sys
import traceback
from time import sleep

import django
import redis
from django.db import Error, close_old_connections

PAUSE_S = 0.2


def main() -> None:
    django.setup()
    from billing.ingest import ingest

    while True:
        try:
            while ingest():
                pass
        except (redis.RedisError, Error, OSError):  # Celery would log it, and go on like this
            traceback.print_exc(file=sys.stderr)
            close_old_connections()
        sleep(PAUSE_S)


if __name__ == "__main__":
    main()
