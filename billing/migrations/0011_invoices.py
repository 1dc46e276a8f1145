"""Invoices, credit notes, whom they go to, and periods that close."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0010_price_books")]
    operations: ClassVar = []
