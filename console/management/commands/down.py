"""`manage.py down`: stop what `make up` started, also what a killed supervisor left."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final, override

from django.core.management.base import BaseCommand, CommandError

from console import local
from console.leftovers import leftovers_kill

TIMEOUT_S: Final = 60


class Command(BaseCommand):
    help = "Stop the platform that `make up` runs on this machine."
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        pid = local.supervisor_pid(local.RUN_DIR)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            self._await_end()
        left = leftovers_kill(local.RUN_DIR)
        self.stdout.write("Nothing runs." if pid is None and not left else "Stopped.")

    def _await_end(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while (pid := local.supervisor_pid(local.RUN_DIR)) is not None:
            if time.monotonic() > deadline:
                raise CommandError(f"The supervisor (process {pid}) does not stop.")
            time.sleep(0.1)
