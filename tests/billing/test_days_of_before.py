"""The migration that makes the days of usage which was booked by the hour alone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import UsageDay
from tests.conftest import Cast
from tests.console.usage_rows import used

pytestmark = pytest.mark.django_db


def test_the_days_of_before_are_the_sums_of_their_hours(cast: Cast) -> None:
    noon = timezone.now().replace(hour=12)
    for hours, amount in ((0, "1.5"), (1, "2"), (24, "4")):
        used(cast.key.api_key, noon - timedelta(hours=hours), amount=amount, requests=3)
    whole = list(UsageDay.objects.order_by("day").values())
    UsageDay.objects.filter(day=noon.date()).delete()
    UsageDay.objects.update(amount=Decimal(99), requests=99)

    with connection.cursor() as cursor:
        cursor.execute(import_module("billing.migrations.0007_days_of_before").DAYS)

    assert list(UsageDay.objects.order_by("day").values()) == whole
    assert [(day["requests"], day["amount"]) for day in whole] == [(3, 4), (6, Decimal("3.5"))]
