"""The command that makes demo data: the same again, and not among real customers."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from billing.models import UsageEvent
from console.management.commands.demo_data import Size
from tenants.models import Organization
from tests.conftest import Cast
from tests.console.test_demo_data import make, size

pytestmark = pytest.mark.django_db


def test_the_same_seed_makes_the_same_requests() -> None:
    asked = size()

    assert digest(asked) == digest(asked)


def digest(size: Size) -> str:
    """Of all requests that are made, which are forgotten."""
    with transaction.atomic():
        make(size)
        rows = sorted(UsageEvent.objects.values_list("request_id", "amount", "occurred_at"))
        transaction.set_rollback(True)
    return str(rows)


def test_a_database_with_customers_is_left_alone(cast: Cast) -> None:
    with pytest.raises(CommandError, match="2 organizations already"):
        call_command("demo_data", events=10)

    assert Organization.objects.count() == 2
    assert not UsageEvent.objects.exists()


def test_who_forces_it_gets_it_beside_the_others(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("demo_data", events=10, organizations=2, days=1, force=True)

    assert Organization.objects.count() == 4
    assert "Made 10 requests of 2 organizations" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"events": -1}, {"organizations": 10_000}, {"days": 0}])
def test_what_cannot_be_made_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(CommandError, match="organizations, please"):
        call_command("demo_data", **wrong)
