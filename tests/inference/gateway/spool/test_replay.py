"""What is made of the segments that a process left, wherever it died."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.metering import decode
from inference.gateway.spool import replay
from inference.gateway.spool.folder import OPEN
from inference.gateway.spool.records import (
    VERSION,
    Dispatch,
    Header,
    Progress,
    Record,
    Settled,
    Voided,
    frame,
)
from inference.gateway.spool.replay import settled_read, unfinished
from tests.inference.gateway.spool.conftest import World, dispatch, record

HEADER = Header(VERSION, "gw:0", record().occurred_at)


@pytest.fixture(autouse=True)
def _breathless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BREATH_S", 0)


def life(request_id: UUID, progress: int, end: str) -> list[Record]:
    """The records of one request, in order."""
    begun = dispatch(request_id)
    steps = [
        Progress(request_id, begun.record.admitted_at + timedelta(seconds=n), 7, 0, 10 * n, 0)
        for n in range(1, progress + 1)
    ]
    ends: dict[str, list[Record]] = {
        "settled": [Settled.of(record(request_id), 32, ("w",))],
        "voided": [Voided(request_id)],
        "cut": [],
    }
    return [begun, *steps, *ends[end]]


lives: Any = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["settled", "voided", "cut"])), max_size=6
)


def mixed(lives: Sequence[list[Record]], order: Sequence[int]) -> list[Record]:
    """The records of all `lives`, each in its own order, between each other as `order` says."""
    waiting, found = [list(one) for one in lives], list[Record]()
    for pick in order:
        if left := [one for one in waiting if one]:
            found.append(left[pick % len(left)].pop(0))
    return found + [one for life in waiting for one in life]


@given(lives, st.lists(st.integers(0, 5), max_size=40), st.integers(0, 3), st.integers(0, 10_000))
def test_each_request_is_billed_what_is_known_of_it(
    lives: list[tuple[int, str]], order: list[int], segments: int, cut: int
) -> None:
    requests = [life(UUID(int=n), *one) for n, one in enumerate(lives, 1)]
    records = mixed(requests, order)
    kept = records[: cut % (len(records) + 1)]
    with tempfile.TemporaryDirectory() as folder:
        paths = written(Path(folder), kept, segments + 1, torn=records[len(kept) :])
        settled = {one.request_id for path in paths for one in settled_read(path)}
        found = {id_: one.settled(World.rate) for id_, one in unfinished(paths).items()}
    assert settled == {one.request_id for one in kept if isinstance(one, Settled)}
    ended = settled | {one.request_id for one in kept if isinstance(one, Voided)}
    begun = {one.record.request_id for one in kept if isinstance(one, Dispatch)}
    assert found.keys() == begun - ended
    seen = {one.request_id: one.output_tokens for one in kept if isinstance(one, Progress)}
    assert {id_: one and decode(bytes(one.record)).output_tokens for id_, one in found.items()} == {
        id_: seen.get(id_) for id_ in found
    }


def written(folder: Path, records: list[Record], count: int, torn: Sequence[Record]) -> list[Path]:
    """`count` segments of `records`; after the last a half of the first that is `torn`."""
    size = len(records) // count + 1
    paths = []
    for number in range(count):
        part = [HEADER, *records[number * size : (number + 1) * size]]
        data = b"".join(map(frame, part))
        if number == count - 1 and torn:
            data += frame(torn[0])[:-1]
        paths.append(folder / f"{number + 1:08}{OPEN}")
        paths[-1].write_bytes(data + bytes(100))
    return paths


def test_without_a_price_all_that_was_held_is_taken_and_postgresql_rates(tmp_path: Path) -> None:
    def rate(_: object) -> int:
        raise LookupError

    (path,) = written(tmp_path, life(UUID(int=1), 1, "cut"), 1, ())
    (found,) = unfinished([path]).values()
    settled = found.settled(rate)
    assert settled
    assert settled.actual_nano == dispatch(UUID(int=1)).bound_nano
    billed = decode(bytes(settled.record))
    assert (billed.output_tokens, billed.amount_nano) == (10, None)


def test_a_segment_of_a_later_version_is_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / f"00000001{OPEN}"
    later = Header(VERSION + 1, "gw:0", HEADER.created_at)
    path.write_bytes(b"".join(map(frame, [later, *life(UUID(int=1), 1, "settled")])))
    assert settled_read(path) == []
    assert unfinished([path]) == {}
