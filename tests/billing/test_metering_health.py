from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from billing.health import GATEWAYS, metering_health
from billing.ingest import ingest
from billing.leases import leases_write
from billing.metering import UsageRecord
from billing.models import Drift, DriftKind
from billing.reconcile import RECONCILED
from tenants.valkey import client
from tests.billing.records import another, put
from tests.conftest import Cast


def test_all_is_well_where_nothing_waits(db: None) -> None:
    health = metering_health()
    assert (health.is_away, health.waiting, health.lag_s, health.set_aside) == (False, 0, 0, 0)
    assert health.holds is not None
    assert health.holds.open == 0
    assert (health.spools, health.halts, health.drifts, health.reconciled_at) == ([], [], [], None)


def test_what_waits_is_counted_over_all_streams_from_the_oldest(record: UsageRecord) -> None:
    client().xadd("usage:{3}", {"r": b""}, id=f"{int(timezone.now().timestamp() * 1000) - 5000}-0")
    put(record, record)
    health = metering_health()
    assert health.waiting == 3
    assert 5 <= health.lag_s < 60


def test_what_gateways_set_apart_is_told(cast: Cast) -> None:
    leases_write("gw-a.1", {(cast.acme.pk, "w"): 7, (cast.acme.pk, "b:x:20260101"): 5})
    assert tuple(metering_health().leases) == (1, 1, {cast.acme.pk: 7})


def test_what_was_set_aside_and_the_models_halted_are_told(record: UsageRecord) -> None:
    put(another(record, model="unpriced"))
    ingest()
    health = metering_health()
    assert health.set_aside == 1
    assert [halt.model for halt in health.halts] == ["unpriced"]


def test_spools_drifts_and_the_last_comparison_are_told(db: None) -> None:
    now = timezone.now()
    for seen_at in (now, now - timedelta(days=40)):
        Drift.objects.create(
            kind=DriftKind.HOUR, about="a", at=seen_at, expected=Decimal(1), found=Decimal(2),
            seen_at=seen_at,
        )  # fmt: skip
    client().hset(GATEWAYS, mapping={"gw-a": "", "gw-b": ""})
    client().set(
        "spool:gw-b",
        f'{{"segments":2,"bytes":99,"waiting":1,"oldest_s":0.5,"closed_by":"full","at":"{now.isoformat()}"}}',
    )
    client().set(RECONCILED, now.isoformat())
    health = metering_health()
    assert [(one.gateway, one.segments, one.waiting, one.closed_by) for one in health.spools] == [
        ("gw-b", 2, 1, "full")
    ]
    assert [drift.at for drift in health.drifts] == [now]
    assert health.reconciled_at == now


def test_without_valkey_what_postgresql_knows_is_told(
    record: UsageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(another(record, model="unpriced"))
    ingest()
    nowhere = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr("billing.health.client", lambda: nowhere)
    health = metering_health()
    assert health.is_away
    assert len(health.halts) == 1
