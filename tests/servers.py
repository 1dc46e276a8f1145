"""PostgreSQL and Valkey under the tests, started once a run; xdist workers share them."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connection

if TYPE_CHECKING:
    from console.embedded import Running

ENVIRONMENT: Final = {
    "DJANGO_SETTINGS_MODULE": "console.settings",
    "SECRET_KEY": "test-secret-key-" * 4,
    "API_KEY_PEPPERS": "test-pepper",
    "ENCRYPTION_KEYS": "dGVzdC1lbmNyeXB0aW9uLWtleS0zMi1ieXRlcyEhISE=",
    "LOG_LEVEL": "WARNING",
    "MFA_REQUIRED": "false",  # the tests of the policy switch it on; the others log in at once
}

LOGIN: Final = "sluice_tests"
GRANTS: Final[tuple[LiteralString, ...]] = (
    "GRANT sluice_worker TO {}",
    "GRANT sluice_app, sluice_operator, sluice_owner TO {} WITH INHERIT FALSE, SET TRUE",
    "ALTER ROLE sluice_owner CREATEDB",
    "GRANT SET ON PARAMETER session_replication_role TO sluice_owner",
)
"""The tests themselves are the worker; their database is the owner's, and so is tampering."""
VARIABLES: Final = {
    LOGIN: "DATABASE_URL",
    "sluice_console": "DATABASE_CONSOLE_URL",
    "sluice_services": "DATABASE_SERVICES_URL",
}
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - each makes folders of its own in it
MEMORY_BYTES: Final = 8 << 30
"""Where so much is free, what the tests write stays in memory: a disk takes its time to sync."""

_running: list[Running] = []
_folders: list[Path] = []


def start() -> None:
    """Set the environment of the tests, and start the servers unless the caller names his own."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # it is looked up again
    if "STATIC_ROOT" not in os.environ:
        os.environ["STATIC_ROOT"] = str(_folder())
    os.environ["SPOOL_DIR"] = str(_folder())  # a gateway takes over what it finds in its own
    os.environ["AUDIT_ANCHOR_URL"] = (_folder() / "anchors").as_uri()
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        _use_database(int(worker.removeprefix("gw")) + 1)
    else:
        if "SLUICE_TEST_SERVERS" not in os.environ:
            _start_embedded()
        _log_in_as_nobody()


def _use_database(number: int) -> None:
    """Valkey's database `number`, also in the settings: pytest-django may have read them before."""
    base = os.environ["VALKEY_URL"].rpartition("/")[0]
    os.environ["VALKEY_URL"] = settings.VALKEY_URL = f"{base}/{number}"


def stop() -> None:
    for server in _running:
        server.stop()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _start_embedded() -> None:
    from console.embedded import Postgres, Running, Valkey

    folder = _folder()
    postgres = Postgres(folder / "postgres", durable=False)
    for server in (postgres, Valkey(folder / "valkey", durable=False)):
        _running.append(Running(server))
        os.environ |= server.environment


def _log_in_as_nobody() -> None:
    """Only here is the superuser needed: to make the logins of all that is tested."""
    from console.embedded import LOGINS, login_make
    from tenants.roles import ROLES_MAKE

    url = os.environ.pop("DATABASE_OWNER_URL", "") or os.environ["DATABASE_URL"]
    parts, password = urlsplit(url), secrets.token_urlsafe()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(ROLES_MAKE)
        for login, grants in {**LOGINS, LOGIN: GRANTS}.items():
            login_make(db, login, password, grants)
            where = f"{login}:{password}@{parts.netloc.rpartition('@')[2]}"
            os.environ[VARIABLES[login]] = urlunsplit(parts._replace(netloc=where))


def console_url() -> str:
    """The tests' database, as the console logs in to it."""
    return _url_of("DATABASE_CONSOLE_URL")


def services_url() -> str:
    """The tests' database, as the gateways and the worker log in to it."""
    return _url_of("DATABASE_SERVICES_URL")


def _url_of(variable: str) -> str:
    base = os.environ[variable].rpartition("/")[0]
    return f"{base}/{connection.settings_dict['NAME']}"


def _folder() -> Path:
    _folders.append(Path(tempfile.mkdtemp(prefix="sluice-test-")))
    return _folders[-1]
