from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.db import OperationalError
from prometheus_client import CollectorRegistry, generate_latest

from billing.ingest import ingest
from billing.ledger.check import books_verify
from billing.metering import UsageRecord
from billing.metrics import MeteringCollector
from tests.billing.records import another, put

RULES = Path(settings.BASE_DIR) / "deploy/prometheus/metering.yml"


def told() -> dict[str, str]:
    registry = CollectorRegistry()
    registry.register(MeteringCollector())
    lines = generate_latest(registry).decode().splitlines()
    return dict(line.split(" ") for line in lines if not line.startswith("#"))


def test_what_waits_and_what_was_set_aside_is_told(record: UsageRecord) -> None:
    put(another(record, model="unpriced"))
    ingest()
    put(record, record)
    assert told()["sluice_metering_records_waiting"] == "2.0"
    assert told()["sluice_metering_records_set_aside"] == "1.0"
    assert told()["sluice_metering_models_halted"] == "1.0"


def test_without_postgresql_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError

    monkeypatch.setattr("billing.metrics.metering_health", away)
    assert told() == {}


def test_each_alert_reads_a_metric_that_is_there_and_says_what_to_do(db: None) -> None:
    books_verify()
    known = told()
    rules: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    for rule in rules:
        assert re.findall(r"sluice_\w+", rule["expr"])[0] in known
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"].endswith(".")
