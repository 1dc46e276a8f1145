"""All that closes months: both stores, Stripe's double, and two workers side by side."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import psycopg

from console.embedded import HOST, NAME, Postgres, Valkey, free_port
from tests.kills.closes.steps import GO, KEY, steps_make
from tests.kills.processes import Process, answers
from tests.servers import ENVIRONMENT

if TYPE_CHECKING:
    from console.fakestripe import FakeStripe

WORKERS: Final = 2


class World:
    def __init__(self, folder: Path) -> None:
        postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
        self._postgres_url, self._folder = postgres.login_url(NAME), folder
        self._journal = folder / "fakestripe.json"
        stripe = f"http://{HOST}:{free_port()}"
        os.environ |= postgres.environment | valkey.environment
        os.environ |= _environment(folder, stripe, self._journal)
        self.postgres = Process.of_server(postgres, folder)
        self.valkey = Process.of_server(valkey, folder)
        self.stripe = _stripe(stripe, folder)
        self.workers = [_worker(number, folder) for number in range(1, WORKERS + 1)]
        self._db: psycopg.Connection | None = None

    @property
    def processes(self) -> list[Process]:
        """In the order in which they are started."""
        return [self.postgres, self.valkey, self.stripe, *self.workers]

    def start(self) -> None:
        for process in (self.postgres, self.valkey, self.stripe):
            process.begin()
        self.postgres.await_ready()
        _tables_make()
        self.connect()
        steps_make(self.db)
        self.rest()
        self.restore()

    def restore(self) -> None:
        """All of it runs, and answers."""
        for process in self.processes:
            process.start()

    def connect(self) -> None:
        """Anew, for PostgreSQL may have been away; whatever was held by `db` is not any more."""
        from django.db import connection

        connection.close()
        if self._db:
            self._db.close()
        self._db = psycopg.connect(self._postgres_url, autocommit=True)

    @property
    def db(self) -> psycopg.Connection:
        """The superuser's, by which steps are stopped at."""
        assert self._db
        return self._db

    def rest(self) -> None:
        """From the end of what the workers just do, nothing happens until they are let go."""
        self.db.execute("SELECT pg_advisory_lock(%s, %s)", [KEY, GO])

    def go(self) -> None:
        self.db.execute("SELECT pg_advisory_unlock(%s, %s)", [KEY, GO])

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def stripe_read(self) -> FakeStripe:
        """What Stripe's double has, as it wrote it down."""
        from console.fakestripe import FakeStripe

        copy = self._folder / "copy.json"
        shutil.copyfile(self._journal, copy)
        return FakeStripe(journal=copy)


@contextmanager
def world_running() -> Iterator[World]:
    """All of it, with Django set up in this process for the same stores. Once in a process."""
    with TemporaryDirectory(prefix="sluice-closes-") as name:
        world = World(Path(name))
        try:
            world.start()
            yield world
        finally:
            world.stop()


def _environment(folder: Path, stripe: str, journal: Path) -> dict[str, str]:
    return ENVIRONMENT | {
        "SPOOL_DIR": str(folder / "spool"),
        "STATIC_ROOT": str(folder / "static"),
        "STRIPE_API_KEY": "sk_test_fake",
        "STRIPE_API_BASE": stripe,
        "STRIPE_WEBHOOK_SECRETS": "whsec_of_a_double_and_no_secret",
        "FAKESTRIPE_URL": stripe,
        "FAKESTRIPE_JOURNAL": str(journal),
    }


def _stripe(url: str, folder: Path) -> Process:
    port = url.rpartition(":")[2]
    argv = (sys.executable, "-m", "console.fakestripe", f"--port={port}")
    return Process("stripe", argv, folder, lambda: answers(f"{url}/health"))


def _worker(number: int, folder: Path) -> Process:
    argv = (sys.executable, "-m", "tests.kills.closes.worker")
    return Process(f"worker-{number}", argv, folder)


def _tables_make() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from tests.kills.closes.usage import rates_make

    rates_make()
