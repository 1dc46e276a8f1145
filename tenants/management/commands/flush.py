"""Django's `flush`, as the owner of all tables."""

from __future__ import annotations

from typing import Any, override

from django.core.management.commands import flush

from tenants.management.owner import as_owner


class Command(flush.Command):
    @override
    def handle(self, **options: Any) -> None:
        with as_owner():
            super().handle(**options)
