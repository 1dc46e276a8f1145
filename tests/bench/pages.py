"""How long the console's pages take with months of requests; see docs/benchmarks.md.

The pages are asked in this process, by Django's test client: what is taken is the server's time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import django
import time_machine
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings

from console import local
from console.embedded import NAME, Postgres, Running, Valkey
from tests.bench.servers import BenchError

FOLDER: Final = local.ROOT / ".run" / "pages"
RESULT: Final = local.ROOT / ".run" / "pages.json"
EVENTS: Final = 200_000
PLAIN: Final = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


def main() -> int:
    options = _options()
    try:
        with console_open(FOLDER, options.events) as made:
            from tests.bench.page_times import PageTimes

            times = PageTimes(made, options.only or "")
            times.take()
    except BenchError as error:
        say(f"bench failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench stopped")
        return 130
    say(times.text())
    if not options.only and not times.faults:
        times.write(RESULT)
    return 0 if times.is_good else 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def console_open(folder: Path, events: int) -> Iterator[dict[str, Any]]:
    """Django on servers of its own with `events` in them, at the hour at which they were made."""
    _forget_others(folder, events)
    with _servers(folder) as environment, ExitStack() as stack:
        static = folder / "static"
        static.mkdir(exist_ok=True)
        os.environ |= environment | {"LOG_LEVEL": "ERROR", "STATIC_ROOT": str(static)}
        os.environ["MFA_REQUIRED"] = "false"  # who asks here has but a password
        os.environ["MAIL_FOLDER"] = str(folder / "mails")
        os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
        django.setup()
        logging.disable(logging.ERROR)  # what a page answers is told at the end
        call_command("migrate", verbosity=0)
        made = _made(folder) or _make(folder, events)
        hour = datetime.fromisoformat(made["until"])
        stack.enter_context(time_machine.travel(hour + timedelta(minutes=1)))
        stack.enter_context(override_settings(STORAGES=settings.STORAGES | {"staticfiles": PLAIN}))
        yield made


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a console on them. PostgreSQL keeps its data, Valkey nothing."""
    folder.parent.mkdir(exist_ok=True)
    environment = local.secrets_make(folder)
    shutil.rmtree(folder / "valkey", ignore_errors=True)
    with ExitStack() as stack:
        postgres = Postgres(folder / "postgres", environment["POSTGRES_PASSWORD"])
        valkey = Valkey(folder / "valkey", durable=False)
        for server in (postgres, valkey):
            stack.callback(Running(server).stop)
            environment |= server.environment
        environment["DATABASE_URL"] = postgres.login_url(NAME)  # the worker and the console
        yield environment


def _made(folder: Path) -> dict[str, Any] | None:
    file = folder / "made.json"
    made: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
    return made


def _forget_others(folder: Path, events: int) -> None:
    """Data of another size, or that was not made to its end."""
    made = _made(folder)
    if made is None or made["events"] != events:
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, events: int) -> dict[str, Any]:
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    began = time.monotonic()
    call_command("demo_data", events=events, until=until)
    made_s = time.monotonic() - began
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    made = {"events": events, "until": until.isoformat(), "made_s": round(made_s)}
    local.private_write(folder / "made.json", json.dumps(made))
    return made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--only", help="pages whose name holds this; nothing is written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
