"""Every act that is recorded has its words on the audit pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from console.audit_words import ACTIONS, changes_of, facts_of
from tenants.models import AuditEntry
from tests.house.test_rules import APPS, modules

RECORDS = re.compile(r"audit\.record|export_told")
ACTION = re.compile(r"[a-z_]+\.(?!csv)[a-z_]+")


def recorded() -> Iterator[str]:
    """What looks like an action, in modules that record some, but for events of the log."""
    for path in modules(*APPS):
        if RECORDS.search(path.read_text()):
            yield from _actions(path)


def _actions(path: Path) -> Iterator[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    logged = {id(word) for node in nodes if isinstance(node, ast.Call) for word in _logged(node)}
    texts = (node for node in nodes if isinstance(node, ast.Constant) and id(node) not in logged)
    yield from (str(text.value) for text in texts if ACTION.fullmatch(str(text.value)))


def _logged(call: ast.Call) -> list[ast.expr]:
    """The words of a call such as `log.info("books.wrong")`."""
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return call.args if function.value.id == "log" else []
    return []


def test_every_action_has_its_words_and_all_words_an_action() -> None:
    assert set(recorded()) == set(ACTIONS)


def test_what_was_before_is_told_whatever_is_told_beside_it() -> None:
    changed = AuditEntry(data={"before": "free", "plan": "build"})
    assert changes_of(changed) == []
    assert [value for _name, value in facts_of(changed, {})] == ["free", "build"]
    both = AuditEntry(data={"before": "free", "after": "build"})
    assert changes_of(both) == [("", "free", "build")]
    assert facts_of(both, {}) == []
