"""Ended segments: what the dead left is billed, and nothing goes before PostgreSQL has it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from billing.metering import decode
from inference.engines import Usage
from inference.gateway.spool import archive, shipper
from inference.gateway.spool.archive import Archive
from inference.gateway.spool.folder import BOOKED, OPEN, Folder, folders
from inference.gateway.spool.records import VERSION, Header, Progress, Record, Settled, frame
from inference.gateway.spool.replay import installation_of
from inference.gateway.spool.shipper import Shipper
from tests.inference.gateway.spool.conftest import (
    LIMITS,
    OURS,
    World,
    dispatch,
    record,
    spooling,
    until,
)

HEADER = Header(VERSION, "gw:0", record().occurred_at)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERIOD_S", "FIRST_LOOK_S", "AWAY_S", "ADOPT_S", "PRUNE_S"):
        monkeypatch.setattr(archive, name, 0.01)
    monkeypatch.setattr(shipper, "RETRY_S", (0.01,))


def left_behind(root: Path, *segments: Sequence[Record]) -> Path:
    """The folder of a process that died when it had written `segments`."""
    folder = Folder.create(root, "gw:0")
    for number, records in enumerate(segments, 1):
        data = b"".join(map(frame, [HEADER, *records]))
        (folder.path / f"{number:08}{OPEN}").write_bytes(data + bytes(1000))
    folder.close()
    return folder.path


def settled(request_id: UUID) -> Settled:
    return Settled.of(record(request_id), 32, ("w",))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def test_what_a_dead_process_settled_is_delivered_in_order(
    tmp_path: Path, world: World
) -> None:
    ids = [UUID(int=number) for number in range(1, 700)]
    left_behind(tmp_path, [settled(i) for i in ids[:300]], [settled(i) for i in ids[300:]])
    async with spooling(tmp_path, world):
        await until(lambda: len(world.delivered) >= len(ids))
    assert world.requests == ids


async def test_a_request_that_was_under_way_is_billed_what_it_was_seen_to_use(
    tmp_path: Path, world: World
) -> None:
    begun = dispatch(uuid4())
    id_, at = begun.record.request_id, begun.record.admitted_at + timedelta(seconds=2)
    progress = [Progress(id_, at, 5, 1, used, 0, 120) for used in (10, 40)]
    left_behind(tmp_path, [begun, progress[0]], [progress[1]])
    async with spooling(tmp_path, world):
        await until(lambda: world.delivered)
    (found,) = world.delivered
    expected = msgspec.structs.replace(
        begun.record, occurred_at=at, duration_ms=2000, ttft_ms=120, input_tokens=5,
        cached_tokens=1, output_tokens=40, amount_nano=405,
    )  # fmt: skip
    assert decode(bytes(found.record)) == expected
    assert (found.actual_nano, found.tokens, found.scopes) == (405, 45, ("w",))
    assert expected.outcome == "gateway_crash"


async def test_of_a_request_that_went_elsewhere_the_last_backend_counts(
    tmp_path: Path, world: World
) -> None:
    first = dispatch(uuid4())
    moved = msgspec.structs.replace(first.record, backend="two")
    second = msgspec.structs.replace(first, record=moved)
    progress = Progress(moved.request_id, moved.occurred_at, 1, 0, 1, 0)
    left_behind(tmp_path, [first, second, progress])
    async with spooling(tmp_path, world):
        await until(lambda: world.delivered)
    assert decode(bytes(world.delivered[0].record)).backend == "two"


async def test_a_request_of_which_nothing_was_seen_is_void(tmp_path: Path, world: World) -> None:
    begun, ended = dispatch(uuid4()), dispatch(uuid4())
    left_behind(tmp_path, [begun, ended], [settled(ended.record.request_id)])
    world.is_away = True
    async with spooling(tmp_path, world):
        await asyncio.sleep(0.05)
        world.is_away = False
        await until(lambda: world.voided)
        await until(lambda: world.delivered)
    assert world.voided == [begun.record.request_id]
    assert world.requests == [ended.record.request_id]


async def test_what_a_dead_process_holds_is_let_go_when_all_that_it_knew_is_told(
    tmp_path: Path, world: World
) -> None:
    world.is_away = True
    path = left_behind(tmp_path, [settled(UUID(int=1))])
    async with spooling(tmp_path, world):
        await asyncio.sleep(0.05)
        assert world.abandoned == []
        world.is_away = False
        await until(lambda: world.abandoned)
    assert (world.requests, world.abandoned) == ([UUID(int=1)], [path.name])


async def test_damage_costs_only_what_follows_it_in_its_segment(
    tmp_path: Path, world: World
) -> None:
    ids = [uuid4() for _ in range(4)]
    folder = left_behind(tmp_path, [settled(i) for i in ids[:2]], [settled(i) for i in ids[2:]])
    first = folder / f"00000001{OPEN}"
    data = bytearray(first.read_bytes())
    data[len(data) - 1010] ^= 1
    first.write_bytes(data)
    (folder / f"00000003{OPEN}").write_bytes(b"no segment at all")
    async with spooling(tmp_path, world):
        await until(lambda: len(world.delivered) >= 3)
    assert world.requests == [ids[0], *ids[2:]]


async def test_a_process_that_lives_is_left_alone(tmp_path: Path, world: World) -> None:
    async with spooling(tmp_path, world) as neighbour:
        neighbour.dispatched(dispatch(uuid4()))
        await neighbour.synced()
        other = World()
        async with spooling(tmp_path, other):
            await asyncio.sleep(0.1)
        assert other.voided == []


async def test_what_one_process_took_over_no_other_touches(tmp_path: Path) -> None:
    path = left_behind(tmp_path, [settled(uuid4())])
    held = Folder.adopt(path)
    assert held
    assert Folder.adopt(path) is None
    held.close()
    again = Folder.adopt(path)
    assert again
    again.close()


async def test_what_is_no_spool_is_left_alone(tmp_path: Path, world: World) -> None:
    for name in ("lost+found", ".unborn.0123456789ab", "gw:0.0123456789ab.bak"):
        (tmp_path / name).mkdir()
    async with spooling(tmp_path, world):
        await asyncio.sleep(0.1)
    assert len(list(folders(tmp_path))) == 1
    assert (tmp_path / "lost+found").exists()


async def test_what_goes_to_another_database_is_left_to_its_gateways(
    tmp_path: Path, world: World
) -> None:
    owner, id_ = World(UUID(int=2)), uuid4()
    owner.is_away = True
    async with spooling(tmp_path, owner) as spool:
        await spool.settled(record(id_), 1, ())
    with capture_logs() as logs:
        async with spooling(tmp_path, world):
            await until(lambda: logs)
            await asyncio.sleep(0.1)
    assert [(line["event"], line["installation"]) for line in logs] == [
        ("spool.foreign", str(owner.installation))
    ]
    assert world.delivered == []
    owner.is_away = False
    async with spooling(tmp_path, owner):
        await until(lambda: owner.requests == [id_])


async def test_nothing_is_taken_over_before_it_is_known_for_whom(
    tmp_path: Path, world: World
) -> None:
    left_behind(tmp_path, [settled(id_ := uuid4())])
    world.installation = None
    async with spooling(tmp_path, world):
        await asyncio.sleep(0.1)
        assert world.delivered == []
        world.installation = OURS
        await until(lambda: world.requests == [id_])


async def test_a_segment_begun_before_its_database_was_known_takes_no_more_after(
    tmp_path: Path, world: World
) -> None:
    world.installation = None
    async with spooling(tmp_path, world) as spool:
        spool.progressed(uuid4(), Usage(1, 0, 1))
        (folder,) = folders(tmp_path)
        await until(lambda: (folder / f"00000001{OPEN}").exists())
        await asyncio.sleep(0.1)
        world.installation = OURS
        await spool.settled(record(), 1, ())
        assert installation_of([folder / f"00000002{OPEN}"]) == OURS


async def test_a_folder_that_cannot_be_read_holds_up_no_other(tmp_path: Path, world: World) -> None:
    bad, id_ = left_behind(tmp_path, []), uuid4()
    (bad / f"00000002{OPEN}").mkdir()
    bad.rename(bad.with_name("a" + bad.name))
    left_behind(tmp_path, [settled(id_)])
    async with spooling(tmp_path, world):
        await until(lambda: world.requests == [id_])
    assert len(list(folders(tmp_path))) == 3


async def test_a_neighbour_that_dies_later_is_found(tmp_path: Path, world: World) -> None:
    async with spooling(tmp_path, world):
        id_ = uuid4()
        left_behind(tmp_path, [settled(id_)])
        await until(lambda: world.requests == [id_])


async def test_a_segment_stays_until_postgresql_has_all_of_it(tmp_path: Path, world: World) -> None:
    ids = [uuid4() for _ in range(3)]
    folder = left_behind(tmp_path, [settled(i) for i in ids])
    world.booked = None
    limits = msgspec.structs.replace(LIMITS, keep_s=0)
    async with spooling(tmp_path, world, limits):
        await until(lambda: len(world.delivered) == 3)
        world.booked = set(ids[:2])
        await asyncio.sleep(0.1)
        assert names(folder) == [f"00000001{OPEN}", "lock"]
        world.booked = set(ids)
        await until(lambda: not folder.exists())


async def test_what_postgresql_lacks_for_long_is_delivered_again(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LATE_S", 0.05)
    ids = [uuid4() for _ in range(3)]
    left_behind(tmp_path, [settled(i) for i in ids])
    world.booked = set(ids[:2])
    async with spooling(tmp_path, world):
        await until(lambda: len(world.delivered) >= 5)
    assert set(world.requests[3:]) == {ids[2]}


async def test_what_is_booked_is_kept_for_a_while(tmp_path: Path, world: World) -> None:
    id_ = uuid4()
    folder = left_behind(tmp_path, [settled(id_)])
    world.booked = {id_}
    kept = folder / f"00000001{BOOKED}"
    async with spooling(tmp_path, world):
        await until(kept.exists)
    world.delivered.clear()
    async with spooling(tmp_path, world):
        await asyncio.sleep(0.1)
        assert world.delivered == []
        assert kept.exists()
    os.utime(kept, (0, time.time() - LIMITS.keep_s - 1))
    async with spooling(tmp_path, world):
        await until(lambda: not folder.exists())


async def test_too_much_that_is_booked_goes_the_oldest_first(tmp_path: Path, world: World) -> None:
    ids = [uuid4() for _ in range(3)]
    folder = left_behind(tmp_path, *([settled(i)] for i in ids))
    for age, path in enumerate(sorted(folder.glob(f"*{OPEN}"), reverse=True)):
        os.utime(path, (0, time.time() - 10 * age))
    world.booked = set(ids)
    size = (folder / f"00000001{OPEN}").stat().st_size
    limits = msgspec.structs.replace(LIMITS, max_bytes=2 * size)
    async with spooling(tmp_path, world, limits):
        await until(lambda: names(folder) == [f"00000002{BOOKED}", f"00000003{BOOKED}", "lock"])


async def test_a_segment_stays_while_a_request_runs_that_began_in_it(
    tmp_path: Path, world: World
) -> None:
    running = [1.0]
    found = Archive(
        tmp_path, Shipper(world.deliver), world.unbooked, world.void, world.abandon, world.rate,
        lambda: running[0], installation=lambda: None, keep_s=0, max_bytes=0,
    )  # fmt: skip
    own = Folder.create(tmp_path, "gw:1")
    path = own.path / f"00000001{OPEN}"
    path.write_bytes(frame(HEADER))
    found.start(own)
    found.sealed(path)
    await asyncio.sleep(0.1)
    assert path.exists()
    running[0] = 2.0
    await until(lambda: found.segments == 0)
    await until(lambda: not list(own.path.glob("0*")))
    await found.stop()
    own.close()


@pytest.fixture
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end after a few hundredths of a second, not after a minute."""
    monkeypatch.setattr("inference.gateway.spool.spool.TELL_S", 0.02)
    monkeypatch.setattr("inference.gateway.spool.spool.ROTATE_S", 0.04)


@pytest.mark.usefixtures("_short_segments")
async def test_its_own_segments_are_booked_while_it_runs(tmp_path: Path, world: World) -> None:
    async with spooling(tmp_path, world) as spool:
        id_ = uuid4()
        spool.dispatched(dispatch(id_))
        spool.progressed(id_, Usage(1, 0, 1))
        await spool.settled(record(id_), 1, ())
        world.booked = {id_}
        (folder,) = folders(tmp_path)
        await until(lambda: f"00000001{BOOKED}" in names(folder))


@pytest.mark.usefixtures("_short_segments")
async def test_what_memory_could_not_hold_is_delivered_from_disk(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper, "MAX_WAITING", 10)
    monkeypatch.setattr(archive, "LATE_S", 0)
    world.is_away = True
    async with spooling(tmp_path, world) as spool:
        ids = [uuid4() for _ in range(50)]
        for id_ in ids:
            await spool.settled(record(id_), 1, ())
        assert spool.waiting <= 10
        world.is_away = False
        await until(lambda: set(world.requests) == set(ids))
