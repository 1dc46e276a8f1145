"""What the gateways wrote down, read from their disks: all of it must be resolved in the end."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from uuid import UUID

from billing.booked import unbooked
from billing.holds import Hold
from inference.gateway.spool.folder import BOOKED, OPEN, folders
from inference.gateway.spool.replay import settled_read, unfinished


def pid_of(name: str) -> int:
    """That of a gateway, from its name: host, process, and what makes it one of its kind."""
    return int(name.rpartition(".")[0].rpartition(":")[2])


class Spools:
    """Those below `root`. What a dead process left is looked at until it is resolved, once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._resolved = set[Path]()

    def unresolved(self, living: Collection[int], holds: Collection[Hold]) -> list[str]:
        """Of processes that are not among `living` what they had begun as well."""
        found, open_ids = list[str](), {hold.id for hold in holds}
        for path in folders(self._root):
            if path in self._resolved:
                continue
            is_alive = pid_of(path.name) in living
            try:
                left = [*_unbooked_in(path), *(() if is_alive else _unfinished_in(path, open_ids))]
            except FileNotFoundError as error:
                left = [f"{error.filename} has another name by now"]
            found += left
            if not (left or is_alive):
                self._resolved.add(path)
        return found


def _unbooked_in(path: Path) -> Iterator[str]:
    """What was settled, whoever has heard of it."""
    for segment in (*path.glob(f"*{OPEN}"), *path.glob(f"*{BOOKED}")):
        ids = [(one.organization_id, one.request_id) for one in settled_read(segment)]
        yield from (f"{request_id} is settled on disk only" for _, request_id in unbooked(ids))


def _unfinished_in(path: Path, open_ids: Collection[UUID]) -> Iterator[str]:
    """What was not settled is billed by the last that was written of it, or void."""
    left = unfinished([*sorted(path.glob(f"*{OPEN}")), *sorted(path.glob(f"*{BOOKED}"))])
    ids = [(one.dispatch.record.organization_id, id_) for id_, one in left.items() if one.progress]
    yield from (f"{request_id} is in progress on disk only" for _, request_id in unbooked(ids))
    for request_id, one in left.items():
        if not one.progress and request_id in open_ids:
            yield f"{request_id} is dispatched on disk, and held"
