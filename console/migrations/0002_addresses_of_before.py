"""Whoever had an account before addresses were confirmed got it from an operator: they are known."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import migrations


def addresses_confirm(apps: Any, schema_editor: Any) -> None:
    """Of people who have no address on record yet; nobody can sign up without one."""
    addresses = apps.get_model("account", "EmailAddress").objects
    users = apps.get_model(settings.AUTH_USER_MODEL).objects
    known = addresses.values("user")
    addresses.bulk_create(
        addresses.model(user_id=pk, email=email, verified=True, primary=True)
        for pk, email in users.exclude(pk__in=known).exclude(email="").values_list("pk", "email")
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("console", "0001_idempotent_answers"),
        ("account", "0009_emailaddress_unique_primary_email"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("tenants", "0008_api_keys"),
    ]
    operations: ClassVar = [migrations.RunPython(addresses_confirm, migrations.RunPython.noop)]
