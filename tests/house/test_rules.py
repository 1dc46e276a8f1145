"""The rules of the house, read off the code itself."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
APPS = ("console", "inference", "billing", "tenants")


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_the_top_level_is_the_one_of_the_design() -> None:
    mine = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."}
    assert mine - {"static"} == {*APPS, "tests", "deploy", "docs"}


@pytest.mark.parametrize("app", APPS)
def test_every_app_has_a_readme_of_one_screen(app: str) -> None:
    lines = (ROOT / app / "README.md").read_text().splitlines()
    assert 5 < len(lines) <= 60


def test_the_views_reach_rows_of_tenants_by_the_one_door_only() -> None:
    models = (
        "ApiKey|Project|Membership|AuditEntry|UsageEvent|UsageHour|Limit|Budget|BudgetAlert"
        "|Invitation|OwnershipOffer|ServiceAccount|Impersonation"
        "|Invoice|CreditNote|Payment|BillingProfile|AutoTopUp|StripeCustomer|Terms"
    )
    tenant_owned = rf"\b({models})\.objects\.(\w+)"
    for path in (ROOT / "console" / "views").glob("*.py"):
        for model, method in re.findall(tenant_owned, path.read_text()):
            assert method == "for_organization", f"{path.name}: {model}.objects.{method}"


def test_only_the_audit_module_writes_the_audit_trail() -> None:
    for path in modules(*APPS):
        text = path.read_text().replace("class AuditEntry(", "")
        assert not re.search(r"AuditEntry\.objects\.(bulk_)?create|AuditEntry\(", text), path
        assert "audit_append(" not in text or path.name == "recording.py", path


def test_no_module_is_longer_than_it_can_be_read() -> None:
    for path in modules(*APPS):
        assert len(path.read_text().splitlines()) <= 450, path


def test_http_stays_in_the_console_and_the_gateway() -> None:
    for path in modules("tenants", "billing", "inference"):
        if "gateway" not in path.parts:
            assert not any(name.startswith("django.http") for name in imports(path)), path


def test_the_gateway_sees_no_pages_sessions_or_templates() -> None:
    pages = ("django.contrib", "django.template", "django.shortcuts", "console")
    for path in modules("inference/gateway"):
        assert not any(name.startswith(pages) for name in imports(path)), path


def test_business_rules_use_no_signals_and_no_overridden_save() -> None:
    for path in modules(*APPS):
        assert not any(name.startswith("django.db.models.signals") for name in imports(path)), path
        assert "def save(" not in path.read_text(), path


def test_money_is_never_a_float() -> None:
    for path in modules("billing"):
        text = path.read_text()
        assert "float(" not in text, path
        assert "FloatField" not in text, path


def test_the_changelog_and_the_package_name_one_version() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert package["project"]["version"] == settings.VERSION


def test_every_variable_of_the_settings_is_documented() -> None:
    text = (ROOT / "console" / "settings.py").read_text()
    read = set(re.findall(r'env(?:_bool|_list|_secret)?\(\s*"(\w+)"', text))
    documented = (ROOT / "docs" / "settings.md").read_text()
    missing = sorted(name for name in read if f"`{name}`" not in documented)
    assert not missing


def rows_of(document: str, letter: str, count: int) -> dict[str, str]:
    """The rows of a list by their names, of which none is left out."""
    text = (ROOT / "docs/rules" / document).read_text()
    rows = re.findall(rf"^\| ({letter}-\d+) \|(.*)$", text, re.MULTILINE)
    assert [name for name, _ in rows] == [f"{letter}-{number}" for number in range(1, count + 1)]
    return dict(rows)


def named_in(row: str) -> list[str]:
    """The source of each test that a row names. KeyError for one that is not there."""
    return [sources_of(file)[test] for file, test in re.findall(r"`([\w/]+\.py)::(\w+)`", row)]


def sources_of(file: str) -> dict[str, str]:
    """Of each test of a module, its decorators included."""
    body = ast.parse((ROOT / "tests" / file).read_text()).body
    return {
        one.name: ast.unparse(one)
        for one in body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_attack_on_the_list_has_its_tests() -> None:
    for name, row in rows_of("attacks.md", "T", 22).items():
        assert named_in(row) or "Cannot happen" in row, name


def test_every_invariant_is_tried_in_many_ways() -> None:
    ways = ("@given(", "run_state_machine_as_test(", "for seed in range(")
    for name, row in rows_of("invariants.md", "I", 21).items():
        first, *_others = named_in(row)
        assert any(way in first for way in ways), name
