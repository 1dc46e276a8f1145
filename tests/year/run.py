"""The year once with all around it, and once more from its log alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from billing.models import CreditNote, Payment
from console.fakestripe import FakeStripe
from tests.year.checks import imbalance, numbered
from tests.year.fingerprint import fingerprint, fingerprints
from tests.year.stage import replay, staged
from tests.year.story import Story, begins

JANUARY: Final = date(2028, 1, 1)
"""Of a leap year."""


@dataclass
class Year:
    """How much of it there is; see `Story`."""

    organizations: int = 20
    months: int = 12
    seed: int = 1
    events: int = 200
    pace: int = 3
    tell: Callable[[str], None] = lambda text: None

    def run(self, empty: Callable[[], None]) -> Report:
        """Twice, each time on the database that `empty` gives; the second stays as it is."""
        report = Report(self.organizations, self.months)
        empty()
        log = self._live(report)
        self.tell(f"Again, from {len(log):,} entries")
        empty()
        self._again(log, report)
        return report

    def _live(self, report: Report) -> list[str]:
        start = begins(JANUARY)
        fake = FakeStripe(time.time, self.seed)
        with staged(start, self.seed, fake.answer) as stage:
            story = Story(
                stage, fake, self.seed, organizations=self.organizations, start=JANUARY,
                months=self.months, events=self.events, pace=self.pace, tell=self.tell,
            )  # fmt: skip
            story.run()
        report.story, report.breaks = story, story.breaks
        report.tables, report.acts = fingerprints(), len(stage.log)
        report.counts = {
            "events": story.oracle.events, "invoices": numbered().count(),
            "credit_notes": CreditNote.objects.count(),
            "payments": Payment.objects.exclude(paid_at=None).count(),
            "imbalance": str(sum(map(abs, imbalance().values()), Decimal(0)).normalize()),
            "verified": story.checks.verified, "backfilled": story.backfilled,
        }  # fmt: skip
        return stage.log

    def _again(self, log: list[str], report: Report) -> None:
        wrong = replay(begins(JANUARY), self.seed, log)
        again = fingerprints()
        wrong += [f"{name} differs" for name in again if again[name] != report.tables[name]]
        report.hashes = (fingerprint(report.tables), fingerprint(again))
        report.replay = "; ".join(wrong) or "identical"


@dataclass
class Report:
    """`hashes` are over all tables of money, of the year and of its replay."""

    organizations: int
    months: int
    counts: dict[str, Any] = field(default_factory=dict)
    acts: int = 0
    replay: str = ""
    breaks: list[str] = field(default_factory=list)
    hashes: tuple[str, str] = ("", "")
    tables: dict[str, str] = field(default_factory=dict)
    story: Story | None = None

    @property
    def is_right(self) -> bool:
        return not self.breaks and self.replay == "identical"

    def result(self) -> dict[str, Any]:
        return {
            "organizations": self.organizations, "months": self.months, **self.counts,
            "acts": self.acts, "replay": self.replay, "hash": self.hashes[0],
            "replay_hash": self.hashes[1], "breaks": len(self.breaks),
        }  # fmt: skip
