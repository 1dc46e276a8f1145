"""Payments, top-ups, and what is told to and heard from Stripe."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0011_invoices")]
    operations: ClassVar = []
