"""What operators see of money beyond what customers do: costs of backends, who is late, Stripe."""

from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal

from django.utils import timezone

from billing.models import BackendHour
from inference.costs import backend_cost_set
from inference.models import Backend
from tenants.models import Organization
from tests.conftest import Cast
from tests.console.money_rows import money_made


def seed_operator_money(cast: Cast) -> None:
    money_made(cast, "gpt-oss-120b", late=Organization.objects.get(slug="sunk"))
    now = timezone.now().astimezone(UTC)
    this = now.replace(minute=0, second=0, microsecond=0)
    for at, backend in enumerate(Backend.objects.order_by("name")):
        BackendHour.objects.bulk_create(
            BackendHour(
                backend=backend.name, hour=this - timedelta(hours=back), requests=4000 - 800 * at,
                input_tokens=4_400_000, output_tokens=600_000,
            )
            for back in range(0, 30 * 24, at + 1)
        )  # fmt: skip
        if at < 2:
            since = (now - timedelta(days=45)).date()
            backend_cost_set(
                actor=cast.oskar, backend=backend, per_hour=Decimal("2.4"), since=since
            )
