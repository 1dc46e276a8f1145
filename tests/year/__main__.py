"""`make simulate-year ORGANIZATIONS=20 MONTHS=12 SEED=1`: a year twice, and what did not hold."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from tests import servers

RESULT: Final = Path(__file__).resolve().parents[2] / ".run" / "year.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.year", description=__doc__)
    parser.add_argument("--organizations", type=int, default=20)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=200, help="of each, a month")
    options = parser.parse_args()
    servers.start()
    try:
        return _simulate(options)
    finally:
        servers.stop()


def _simulate(options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.db import connection
    from django.test.runner import DiscoverRunner

    from tenants.tenancy import OWNER, standing_as

    with standing_as(OWNER):
        DiscoverRunner(verbosity=0, interactive=False, parallel=2).setup_databases()
    from tests.year.run import Year

    clone = connection.creation.get_test_db_clone_settings
    pooled: Any = connection
    names = iter([clone(copy)["NAME"] for copy in "12"])

    def empty() -> None:
        """Each time another copy of the empty database."""
        connection.close()
        pooled.close_pool()
        connection.settings_dict["NAME"] = next(names)

    year = Year(
        options.organizations, options.months, options.seed, options.events, tell=_say
    )  # fmt: skip
    report = year.run(empty)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report.result()) + "\n")
    for name, value in report.result().items():
        _say(f"{name:>14}  {value}")
    for broken in report.breaks:
        _say(broken)
    return 0 if report.is_right else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
