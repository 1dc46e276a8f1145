"""All objects by their kind and id, and the journal that keeps them over a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from console.fakestripe.http import Object


class Store:
    """Objects in the order in which they were made; changes count once they are `put`."""

    def __init__(self, journal: Path | None = None) -> None:
        self._kinds: dict[str, dict[str, Object]] = {}
        self._of: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        self._journal = journal
        if journal and journal.exists():
            self._replay(journal)

    def put(self, thing: Object) -> Object:
        self._kinds.setdefault(thing["object"], {})[thing["id"]] = thing
        self._of[thing["id"]] = thing["object"]
        self._changed[thing["id"]] = None
        return thing

    def remove(self, thing_id: str) -> None:
        kind = self._of.pop(thing_id)
        del self._kinds[kind][thing_id]
        self._changed[thing_id] = None

    def find(self, thing_id: str) -> Object | None:
        kind = self._of.get(thing_id)
        return self._kinds[kind][thing_id] if kind else None

    def all(self, kind: str) -> list[Object]:
        """The oldest first."""
        return list(self._kinds.get(kind, {}).values())

    def write_down(self) -> None:
        """One line for all changes since the last: a kill leaves it whole, or out."""
        if self._journal and self._changed:
            line = json.dumps({one: self.find(one) for one in self._changed})
            with self._journal.open("a") as file:
                file.write(line + "\n")
        self._changed.clear()

    def _replay(self, journal: Path) -> None:
        """The last line may be cut off: what it says was never answered."""
        whole = journal.read_text().rpartition("\n")[0]
        for line in whole.splitlines():
            self._apply(json.loads(line))
        part = journal.with_name(journal.name + ".part")
        part.write_text(json.dumps({thing["id"]: thing for thing in self}) + "\n")
        part.replace(journal)
        self._changed.clear()

    def _apply(self, changes: dict[str, Object | None]) -> None:
        for thing_id, thing in changes.items():
            if thing:
                self.put(thing)
            elif thing_id in self._of:
                self.remove(thing_id)

    def __iter__(self) -> Iterator[Object]:
        for things in self._kinds.values():
            yield from things.values()
