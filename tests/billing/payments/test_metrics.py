"""What Prometheus is told of payments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from billing.models import OutboxItem, OutboxState
from billing.payments import outbox_send
from billing.payments.metrics import PaymentsCollector, payments_health
from console.fakestripe import Fault
from tests.billing.payments.conftest import Stripe
from tests.billing.payments.test_outbox import customer
from tests.conftest import Cast

RULES = Path(settings.BASE_DIR) / "deploy/prometheus/payments.yml"


def test_what_waits_and_what_was_refused_is_told(cast: Cast, stripe: Stripe) -> None:
    assert set(payments_health(stripe.now).values()) == {0}
    stripe.fake.faults = lambda request, now: Fault.DROPPED
    customer(cast.acme, stripe)
    outbox_send(stripe.now)
    stripe.pass_time(hours=1)
    health = payments_health(stripe.now)
    assert (health["calls_late"], health["stripe_silent_seconds"]) == (1, 3600)
    OutboxItem.objects.update(state=OutboxState.FAILED, done_at=stripe.now)
    health = payments_health(stripe.now)
    assert (health["calls_late"], health["calls_refused"]) == (0, 1)


@pytest.mark.django_db
def test_each_alert_reads_a_metric_that_is_there_and_says_what_to_do() -> None:
    known = {family.name for family in PaymentsCollector().collect()}
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    for rule in rules:
        assert set(re.findall(r"sluice_\w+", rule["expr"])) <= known
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].endswith(".")
