"""The runner itself, on a module that was planted for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mutation.__main__ import MODULES, ROOT
from tests.mutation.mutants import mutants_of

RETURN: Final = "return units * 2 if units > LEAST else LEAST"
PRICE: Final = f"""
LEAST = 5


def price(units: int) -> int:
    # The test below asks for one above the least alone.
    {RETURN}
"""
TEST: Final = """
from price import price


def test_a_price():
    assert price(7) == 14
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope=function\n")
    (tmp_path / "price.py").write_text(PRICE)
    (tmp_path / "test_price.py").write_text(TEST)
    return tmp_path


def judged(folder: Path, *options: str) -> tuple[dict[str, Any], str, int]:
    """The result, what was printed, and the exit status."""
    result = folder / "run" / "mutation.json"
    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-m", "tests.mutation", f"--root={folder}", f"--result={result}",
         "--modules=price.py", f"--tests={folder / 'test_price.py'}", *options],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.exists(), done.stdout + done.stderr
    return json.loads(result.read_text()), done.stdout, done.returncode


def test_what_a_test_notices_is_killed_and_what_none_does_is_told(folder: Path) -> None:
    result, said, status = judged(folder)
    survivors = [line for line in said.splitlines() if line.startswith("survived")]
    assert survivors == [
        "survived  price.py:2: LEAST: 5 → 6",
        "survived  price.py:2: LEAST: 5 → 4",
        f"survived  price.py:7: price: {RETURN} | units > LEAST → units >= LEAST",
    ]
    assert result == {"mutants": 7, "killed": 4, "survived": 3, "score": 57.1,
                      "modules": {"price.py": {"mutants": 7, "killed": 4, "survived": 3,
                                               "score": 57.1}}}  # fmt: skip
    assert status == 1
    again, said, status = judged(folder, "--least=50")
    assert (again, status) == (result, 0)
    assert "7 of them known from before" in said


def names(folder: Path, text: str) -> list[str]:
    path = folder / "some.py"
    path.write_text(text)
    return [mutant.name for mutant in mutants_of(path)]


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("net.quantize(CENT, ROUND_HALF_UP)", ["ROUND_HALF_UP → 'ROUND_DOWN'"]),
        ("rows.filter(mine=me, open=True)", ["rows.filter(open=True)", "rows.filter(mine=me)"]),
        ("rows.select_for_update()", ["rows.select_for_update() → rows"]),
        ("row.save(update_fields=['a', 'b'])", ["['a', 'b'] → ['b']", "['a', 'b'] → ['a']"]),
        ("state in {OPEN, PAID}", ["{OPEN, PAID} → {PAID}", "state not in"]),
    ],
)
def test_each_of_these_is_changed(tmp_path: Path, text: str, changes: list[str]) -> None:
    found = "\n".join(names(tmp_path, f"def act():\n    return {text}\n"))
    assert [change for change in changes if change not in found] == []


def test_a_lock_and_a_condition_of_sql_are_taken_out(tmp_path: Path) -> None:
    text = 'READ = """\nSELECT id FROM purse\nWHERE owner = %s AND kept > 0 FOR UPDATE\n"""\n'
    found = names(tmp_path, text)
    assert "READ: kept > 0 FOR UPDATE ' → kept > 0 '" in found
    assert "READ: owner = %s AND kept > → owner = %s OR kept >" in found


def test_what_is_only_told_is_left_alone(tmp_path: Path) -> None:
    text = 'def act():\n    """Says 1."""\n    log.info("x", n=1)\n    raise ValueError(1 + 1)\n'
    assert names(tmp_path, text) == ["act: raise ValueError(1 + 1) → pass"]


def test_every_module_on_the_list_is_there() -> None:
    assert [name for name in MODULES if not (ROOT / name).exists()] == []
