from __future__ import annotations

from typing import override

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"

    @override
    def ready(self) -> None:
        """Before the first connection: what it can send to PostgreSQL is settled then."""
        from console.sessions import TokenDumper

        TokenDumper.register()
