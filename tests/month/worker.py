"""`celery -A tests.month.worker worker`: the worker as it is, by the clock of the month.

It tells what came of each task that is asked about: the story waits for its end.
"""

from __future__ import annotations

from tests.month.clock import clock_follow

clock_follow()

from console.celery import app  # noqa: E402 - what it imports may look at the clock

app.conf.update(result_backend=app.conf.broker_url)
