"""Price books: rates of the list, of plans and of single organizations."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0009_leases")]
    operations: ClassVar = []
