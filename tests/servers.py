"""PostgreSQL and Valkey under the tests, started once a run; xdist workers share them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

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
    elif "SLUICE_TEST_SERVERS" not in os.environ:
        _start_embedded()


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
    for name, server in (
        ("DATABASE_URL", Postgres(folder / "postgres", durable=False)),
        ("VALKEY_URL", Valkey(folder / "valkey", durable=False)),
    ):
        _running.append(Running(server))
        os.environ[name] = server.url


def _folder() -> Path:
    _folders.append(Path(tempfile.mkdtemp(prefix="sluice-test-")))
    return _folders[-1]
