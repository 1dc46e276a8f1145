"""Most cases once: no token lost, none billed twice, nobody refused who needs no store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.kills.processes import ROOT

RUNS: Final = 20
TIMEOUT_S: Final = 600


def test_whatever_is_killed_under_load_is_billed_once(tmp_path: Path) -> None:
    """In a process of its own, which has stores of its own."""
    result = tmp_path / "kills.json"
    said, status = _play(f"--runs={RUNS}", f"--result={result}")
    assert status == 0, said
    counts = json.loads(result.read_text())
    assert (counts["runs"], counts["breaks"]) == (RUNS, 0)
    assert counts["faults"] >= RUNS
    assert counts["requests"] >= 30 * RUNS


def _play(*options: str) -> tuple[str, int]:
    """What it said, and its exit status. One that takes too long ends what it has started."""
    command = [sys.executable, "-m", "tests.kills", *options]
    with subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            said, _ = process.communicate()
        return said, process.returncode
