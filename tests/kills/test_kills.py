"""Each case once: no token lost, none billed twice, nobody refused who needs no store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kills.cases import CASES
from tests.kills.processes import ROOT

TIMEOUT_S = 400


def test_whatever_is_killed_under_load_is_billed_once(tmp_path: Path) -> None:
    """In a process of its own, which has stores of its own."""
    result = tmp_path / "kills.json"
    command = [sys.executable, "-m", "tests.kills", f"--runs={len(CASES)}", f"--result={result}"]
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(result.read_text())
    assert (counts["runs"], counts["breaks"]) == (len(CASES), 0)
    assert counts["faults"] >= len(CASES)
    assert counts["requests"] >= 20 * len(CASES)
