"""One of the closes that are killed: one invoice a month, and the same at Stripe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.kills.processes import played

FIRST: Final = 3
"""There it is final at Stripe and not yet here."""
RUNS: Final = 1


def test_whoever_is_killed_while_months_close_there_is_one_invoice_of_each(tmp_path: Path) -> None:
    result = tmp_path / "closes.json"
    given = (f"--runs={RUNS}", f"--first={FIRST}", f"--result={result}")
    said, status = played("tests.kills.closes", *given)
    assert status == 0, said
    counts = json.loads(result.read_text())
    assert (counts["runs"], counts["breaks"]) == (RUNS, 0)
    assert counts["kills"] >= RUNS
    assert counts["invoices"] >= RUNS * 12
