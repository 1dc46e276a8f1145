"""Django's `migrate`, as the owner of all tables; then everyone's rights are as they should be."""

from __future__ import annotations

from typing import Any, override

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from tenants.isolation import isolate
from tenants.management.owner import as_owner, owners_login
from tenants.roles import ROLES, ROLES_MAKE, TAKE_OVER


class Command(migrate.Command):
    @override
    def handle(self, *args: Any, **options: Any) -> None:
        with owners_login(), transaction.atomic(), connection.cursor() as cursor:
            _roles_check(cursor)
        with as_owner():
            super().handle(*args, **options)
            if not options["plan"] and not options["check_unapplied"]:
                with transaction.atomic(), connection.cursor() as cursor:
                    isolate(cursor)


def _roles_check(cursor: CursorWrapper) -> None:
    """A superuser makes what is missing. Everyone else is told who has to."""
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if cursor.fetchone()[0]:
        cursor.execute(ROLES_MAKE)
        cursor.execute(TAKE_OVER)
    cursor.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regrole(name) IS NULL", [[*ROLES]]
    )
    if missing := ", ".join(name for (name,) in cursor.fetchall()):
        raise CommandError(
            f"PostgreSQL lacks the roles {missing}: make them as docs/running.md shows."
        )
