"""Some days of a month, and whether it is found when somebody falsifies what they came to."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery import Task
from django.db import connection, transaction

from billing.partitions import Month
from tenants import tenancy
from tests.month.breaking import BREAKS, falsify
from tests.month.checks import differences
from tests.month.counts import Given
from tests.month.papers import papers_verify
from tests.month.report import report_make
from tests.month.story import Story
from tests.month.world import processes_running, world_running
from tests.servers import services_url

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_tokens_that_the_sdks_see_are_those_on_the_invoices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an event that is missing, or a sum that is another, is found by its day."""
    monkeypatch.setenv("DATABASE_URL", services_url())
    month = Month(Month.of(datetime.now(UTC)) + 1).start
    with world_running(tmp_path, gateways=1, do=_done_here) as world:
        story = Story(world, month, asked={1}, waves=1, each=2)
        story.prepare()
        with processes_running(world, tmp_path):
            story.play()
        given = world.given()
        report = report_make(story, given, papers_verify(tmp_path))
        assert report.wrong == []
        numbers = report.numbers
        names = ("sdk_tokens", "event_tokens", "rollup_tokens", "invoice_tokens")
        assert len({numbers[name] for name in names}) == 1
        assert numbers["sdk_tokens"] > 2000
        assert numbers["late_requests"] > 0
        assert (numbers["ledger_imbalance"], numbers["differences"]) == (0, 0)
        assert numbers["verified"] == numbers["invoices"] > 10
        for what in BREAKS:
            found = _when_falsified(what, story, given)
            assert any(re.match(r"\w+, \d{4}-\d\d-\d\d: ", why) for why in found), what


def _done_here(task: Task[[], None]) -> None:
    task()


def _when_falsified(what: str, story: Story, given: Given) -> list[str]:
    """What is found then; it is put back."""
    with transaction.atomic(), tenancy.standing_as(tenancy.OWNER), connection.cursor() as cursor:
        falsify(what, cursor.execute)
        found = differences(story, given)
        transaction.set_rollback(True)
    return found
