"""A spool as the gateway uses it: on disk before it costs, delivered once it ended."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from billing.metering import decode
from inference.engines import Usage
from inference.gateway.spool import shipper
from inference.gateway.spool.folder import OPEN, folders
from inference.gateway.spool.records import Dispatch, Record, Settled, Voided
from inference.gateway.spool.replay import records_read
from tests.inference.gateway.spool.conftest import (
    World,
    dispatch,
    record,
    spooling,
    until,
)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "RETRY_S", (0.01,))


def on_disk(root: Path) -> list[Record]:
    """All but headers, of all folders."""
    paths = [path for folder in folders(root) for path in sorted(folder.glob(f"*{OPEN}"))]
    return [found for path in paths for found in list(records_read(path))[1:]]


async def test_a_request_is_on_disk_at_its_start_and_its_end_and_delivered(
    tmp_path: Path, world: World
) -> None:
    async with spooling(tmp_path, world) as spool:
        begun = dispatch(uuid4())
        spool.dispatched(begun)
        await spool.synced()
        assert on_disk(tmp_path) == [begun]
        ended = record(begun.record.request_id)
        await spool.settled(ended, 32, ("w",))
        settled = Settled.of(ended, 32, ("w",), 5)
        assert on_disk(tmp_path) == [begun, settled]
        await until(lambda: world.delivered == [settled])
        assert decode(bytes(world.delivered[0].record)) == ended


async def test_a_request_that_costs_nothing_is_noted_and_not_delivered(
    tmp_path: Path, world: World
) -> None:
    async with spooling(tmp_path, world) as spool:
        begun = dispatch(uuid4())
        spool.dispatched(begun)
        await spool.synced()
        spool.voided(begun.record.request_id)
        spool.voided(begun.record.request_id)
        await until(lambda: Voided(begun.record.request_id) in on_disk(tmp_path))
    assert [type(found) for found in on_disk(tmp_path)][:2] == [Dispatch, Voided]
    assert world.delivered == []


async def test_progress_is_written_soon(tmp_path: Path, world: World) -> None:
    async with spooling(tmp_path, world) as spool:
        request_id = uuid4()
        spool.dispatched(dispatch(request_id))
        spool.progressed(request_id, Usage(7, 0, 9), ttft_ms=3)
        await until(lambda: len(on_disk(tmp_path)) == 2)


async def test_records_wait_while_valkey_is_away_and_are_delivered_in_order(
    tmp_path: Path, world: World
) -> None:
    world.is_away = True
    async with spooling(tmp_path, world) as spool:
        ids = [UUID(int=number) for number in range(1, 61)]
        for request_id in ids[:30]:
            await spool.settled(record(request_id), 1, ())
        await until(lambda: spool.waiting == 30)
        world.is_away = False
        for request_id in ids[30:]:
            await spool.settled(record(request_id), 1, ())
        await until(lambda: len(world.delivered) >= len(ids))
    assert sorted(world.requests, key=lambda id_: id_.int) == ids
    assert world.requests[:30] == ids[:30]


async def test_a_record_that_valkey_refuses_holds_up_no_other(tmp_path: Path, world: World) -> None:
    bad, good = uuid4(), uuid4()
    world.poison.add(bad)
    world.is_away = True
    async with spooling(tmp_path, world) as spool:
        await spool.settled(record(bad), 1, ())
        await spool.settled(record(good), 1, ())
        world.is_away = False
        await until(lambda: world.requests == [good])


async def test_more_than_memory_may_hold_stays_on_disk(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "MAX_WAITING", 10)
    world.is_away = True
    async with spooling(tmp_path, world) as spool:
        ids = [uuid4() for _ in range(50)]
        for request_id in ids:
            await spool.settled(record(request_id), 1, ())
        await until(lambda: spool.waiting == 10)
        assert spool.waiting == 10
        assert [r.request_id for r in on_disk(tmp_path) if isinstance(r, Settled)] == ids
        world.is_away = False


async def test_its_state_is_told(tmp_path: Path, world: World) -> None:
    async with spooling(tmp_path, world):
        await until(lambda: world.told)
    state = json.loads(world.told["spool:gw:1"])
    assert state | {"at": ""} == {
        "segments": 1, "bytes": 0, "waiting": 0, "oldest_s": 0, "closed_by": None, "at": "",
    }  # fmt: skip


async def test_a_spool_without_a_place_to_write_does_not_start(
    tmp_path: Path, world: World
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        async with spooling(tmp_path / "file", world):
            pass
