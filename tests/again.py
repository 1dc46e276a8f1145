"""pytest, with a second look at what failed: `python -m tests.again -n 3 tests/inference`.

Some tests kill processes or wait for clocks, and a machine that is busy with other tests can fail
one of them. Up to three that failed are run once more with nothing beside them, and named; what
fails again, or more than three, fails the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

MOST: Final = 3


class Failed:
    """The ids of what failed, in order."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.ids[report.nodeid] = None


def main(args: list[str]) -> int:
    failed, environment = Failed(), dict(os.environ)
    code = pytest.main(args, plugins=[failed])
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed.ids) <= MOST:
        return int(code)
    sys.stdout.write("\nOnce more, with nothing beside them:\n")
    sys.stdout.writelines(f"  {name}\n" for name in failed.ids)
    sys.stdout.flush()
    command = [sys.executable, "-m", "pytest", *failed.ids]
    return subprocess.call(command, env=environment)  # noqa: S603 - ourselves


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
