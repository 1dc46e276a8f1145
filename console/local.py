"""One machine's Sluice: the folder `.run`, its environment and its lock.

`.run/env` holds the secrets, made once, and the addresses of the last `make up`; `manage.py` reads
it, so that every command works on the platform that runs here.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
RUN_DIR: Final = ROOT / ".run"
MARK: Final = "SLUICE_RUN_DIR"
"""The variable that marks the processes of a run folder."""

_read: dict[str, str] = {}


class AlreadyRunning(Exception):  # noqa: N818 - it is no error of the program
    """Another supervisor holds the run folder."""


def private_write(path: Path, text: str) -> None:
    """Write `text` in one piece to a file that its owner alone may read."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def environment_read(run_dir: Path = RUN_DIR) -> dict[str, str]:
    file = run_dir / "env"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("=", 1) for line in lines)


def environment_write(values: Mapping[str, str], run_dir: Path = RUN_DIR) -> None:
    lines = (f"{name}={value}\n" for name, value in sorted(values.items()))
    private_write(run_dir / "env", "".join(lines))


def environment_load(run_dir: Path = RUN_DIR) -> None:
    """Let `.run/env` fill in what the environment does not say."""
    for name, value in environment_read(run_dir).items():
        if name not in os.environ:
            os.environ[name] = _read[name] = value


def given(name: str) -> str | None:
    """The value of `name` that the person gave, not `.run/env`."""
    return None if name in _read else os.environ.get(name)


def secrets_make(run_dir: Path = RUN_DIR) -> dict[str, str]:
    """The environment of `run_dir`, with the secrets it lacks made and kept."""
    run_dir.mkdir(mode=0o700, exist_ok=True)
    fresh = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "API_KEY_PEPPERS": secrets.token_urlsafe(32),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "POSTGRES_PASSWORD": secrets.token_urlsafe(32),
        "VALKEY_PASSWORD": secrets.token_urlsafe(32),
        "AUDIT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ENGINE_KEY": secrets.token_urlsafe(32),
    }
    values = fresh | environment_read(run_dir)
    environment_write(values, run_dir)
    return values


@contextmanager
def lock(run_dir: Path) -> Iterator[None]:
    """Hold `run_dir` for this process, or raise AlreadyRunning. A kill lets go of it."""
    with _pid_file(run_dir).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning from error
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield


def supervisor_pid(run_dir: Path) -> int | None:
    """The process that holds `run_dir`, or None."""
    try:
        with lock(run_dir):
            return None
    except AlreadyRunning:
        return int(_pid_file(run_dir).read_text())


def _pid_file(run_dir: Path) -> Path:
    return run_dir / "up.pid"


if __name__ == "__main__":
    secrets_make()
