"""Whether a month can close: all that was used in it is booked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing.health import SpoolSeen
from billing.invoices import periods_close
from billing.invoices.watermark import Seen, is_complete
from billing.models import Spender
from tests.billing.invoices.conftest import APRIL_1, MARCH, Use

END = APRIL_1
LATER = END + timedelta(minutes=5)


def spool(waiting: int = 0, oldest_s: int = 0, minutes: int = 5) -> SpoolSeen:
    at = END + timedelta(minutes=minutes)
    return SpoolSeen(segments=1, bytes=0, waiting=waiting, oldest_s=oldest_s, at=at)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen([], 0, 0, None), True),
        (Seen([spool()], 1, 0, None), True),
        (Seen([spool(2, oldest_s=60)], 1, 0, None), True),
        (Seen([spool(2, oldest_s=301)], 1, 0, None), False),
        (Seen([spool(minutes=-1)], 1, 0, None), False),
        (Seen([spool(), None], 2, 0, None), False),
        (Seen([spool()], 2, 0, None), False),
        (Seen([spool()], 1, 1, None), False),
        (Seen([spool()], 1, 0, LATER - timedelta(seconds=1)), False),
        (Seen([spool()], 1, 0, LATER + timedelta(seconds=1)), True),
    ],
)
def test_all_gateways_have_said_so_and_the_streams_are_read_past_it(
    seen: Seen, expected: bool
) -> None:
    assert is_complete(END, seen) is expected


@pytest.mark.django_db
def test_a_gateway_that_is_gone_keeps_the_month_open_for_a_day(use: Use) -> None:
    use()
    Spender.objects.create(name="gone", epoch="1", heard_at=MARCH)
    assert periods_close(APRIL_1) == []
    assert len(periods_close(APRIL_1 + timedelta(days=1))) == 1
