"""What is vendored is what VENDORED.txt says, and pages use nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
ASSETS: Final = ROOT / "deploy/assets"
LINES: Final = (ASSETS / "VENDORED.txt").read_text().splitlines()[1:]
MAILS: Final = ("mail", "mails")
"""No policy binds a mail, and its reader takes only styles that stand within."""
TEMPLATES: Final = sorted(
    path for path in (ROOT / "console/templates").rglob("*.html") if path.parent.name not in MAILS
)


def test_every_vendored_file_is_what_it_was() -> None:
    for line in LINES:
        path, _package, _version, _licence, digest = line.split()
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest, path


def test_nothing_lies_beside_the_vendored_files() -> None:
    told = {line.split()[0] for line in LINES}
    folders = ("console/static/vendor", "console/icons", "tests/e2e/vendor")
    lying = {
        str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).iterdir()
    }

    assert lying == told


def test_what_is_served_has_a_permissive_licence() -> None:
    licences = {line.split()[3] for line in LINES if line.startswith("console/")}

    assert licences <= {"MIT", "BSD-0-Clause", "0BSD", "OFL-1.1"}


def test_the_lock_pins_public_packages_by_digest() -> None:
    lock = json.loads((ASSETS / "package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}

    for name, one in packages.items():
        assert one["resolved"].startswith("https://registry.npmjs.org/"), name
        assert one["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_nothing_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"\sstyle=|<style|\son(?!e=)[a-z]+=|hx-on|javascript:|js:", text), path
    scripts = [tag for tag in re.findall(r"<script[^>]*>", text) if " src=" not in tag]
    assert all('type="application/json"' in tag for tag in scripts), path  # data, never run


def test_every_icon_is_used_and_every_used_icon_is_vendored() -> None:
    text = "".join(path.read_text() for path in TEMPLATES)
    used = set(re.findall(r"{% icon ['\"]([\w-]+)", text))
    used |= set(re.findall(r"{% nav_link ['\"][\w:]+['\"] ['\"]([\w-]+)", text))
    vendored = {path.stem for path in (ROOT / "console/icons").iterdir()}

    assert used == vendored


def test_own_css_and_scripts_stay_small() -> None:
    static = ROOT / "console/static/console"

    assert len((static / "console.css").read_bytes()) <= 12_000
    assert sum(len(path.read_text().splitlines()) for path in static.glob("*.js")) <= 200
