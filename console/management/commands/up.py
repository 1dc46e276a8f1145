"""`manage.py up`: run the whole platform on this machine until Ctrl-C or `make down`."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, override

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console import local
from console.machine import DEMO_FILE, Machine, NoSuchEngine, PortTaken
from console.supervisor import StartFailed
from inference.engines.serve import NoVllm

READY: Final = """
{name} is ready ({took_s:.0f} s).

  Console    {console_url}
  Operator   {operator[email]}  {operator[password]}
  Customer   {customer[email]}  {customer[password]}

  Gateway    {gateway_url}
  API key    {api_key}
  Mails      {console_url}/mailbox/

curl {gateway_url}/chat/completions -H 'Authorization: Bearer {api_key}' \
-H 'Content-Type: application/json' -d '{{"model": "{model}", "max_tokens": 50, \
"messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'

Logs are in {logs}. Ctrl-C or `make down` stops everything.
"""

type Step = Callable[[], Awaitable[None]]


class Command(BaseCommand):
    help = "Run the whole platform on this machine until Ctrl-C or `make down`."
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with local.lock(local.RUN_DIR):
                asyncio.run(self._run())
        except local.AlreadyRunning:
            url = local.environment_read().get("CONSOLE_URL", "it starts")
            raise CommandError(f"Sluice already runs: {url}. `make down` stops it.") from None
        except (NoSuchEngine, NoVllm, PortTaken, StartFailed) as failed:
            raise CommandError(str(failed)) from None

    async def _run(self) -> None:
        machine = Machine(local.RUN_DIR, self._say)
        await until_signal(lambda: self._start(machine), lambda: self._stop(machine))

    async def _start(self, machine: Machine) -> None:
        began = time.monotonic()
        self._say(f"Starting {settings.SITE_NAME} {settings.VERSION}")
        await machine.start()
        demo = json.loads((local.RUN_DIR / DEMO_FILE).read_text())
        took_s = time.monotonic() - began
        logs = local.RUN_DIR / "logs"
        self._say(READY.format(name=settings.SITE_NAME, took_s=took_s, logs=logs, **demo))

    async def _stop(self, machine: Machine) -> None:
        self._say("Stopping …")
        await machine.stop()
        self._say("Stopped.")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


async def until_signal(start: Step, stop: Step) -> None:
    """Do `start`, wait for SIGINT or SIGTERM, do `stop`.

    A signal while it starts stops it as well, and a second one does not disturb the stopping.
    """
    _cancel_on_signal()
    try:
        with suppress(asyncio.CancelledError):
            await start()
            await asyncio.Event().wait()
    finally:
        await stop()


def _cancel_on_signal() -> None:
    """SIGINT and SIGTERM cancel this task, once: a second one does not disturb the stopping."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def stop() -> None:
        nonlocal task
        if task is not None:
            task.cancel()
            task = None

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
