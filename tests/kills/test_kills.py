"""Most cases once: no token lost, none billed twice, nobody refused who needs no store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.kills.processes import played

RUNS: Final = 20


def test_whatever_is_killed_under_load_is_billed_once(tmp_path: Path) -> None:
    """In a process of its own, which has stores of its own."""
    result = tmp_path / "kills.json"
    said, status = played("tests.kills", f"--runs={RUNS}", f"--result={result}")
    assert status == 0, said
    counts = json.loads(result.read_text())
    assert (counts["runs"], counts["breaks"]) == (RUNS, 0)
    assert counts["faults"] >= RUNS
    assert counts["requests"] >= 30 * RUNS
