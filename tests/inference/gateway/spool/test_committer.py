"""Group commit on a disk that is well, slow, full or broken."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from inference.gateway.spool import committer as module
from inference.gateway.spool.committer import Committer, SpoolClosed
from inference.gateway.spool.folder import OPEN, Folder
from inference.gateway.spool.records import Voided, frame
from inference.gateway.spool.replay import records_read
from inference.gateway.spool.segments import Appender
from tests.inference.gateway.spool.conftest import until


def frame_of(number: int) -> bytes:
    return frame(Voided(UUID(int=number)))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_S", 0.1)
    monkeypatch.setattr(module, "TICK_S", 0.01)


class Disk:
    """The real one, until `fault` does something else than write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault: Callable[[], None] | None = None
        self.part = 0
        self.writes = 0
        self.loose = set[int]()
        """Where the writes began that no sync has reached."""
        write, sync = os.pwritev, os.fdatasync

        def pwritev(handle: int, buffers: list[bytes], offset: int, flags: int = 0) -> int:
            self.writes += 1
            if self.fault:
                self.part = write(handle, [buffers[0][:5]], offset, flags)
                self.fault()
            if buffers[0] and not flags & os.RWF_DSYNC:
                self.loose.add(offset)
            return write(handle, buffers, offset, flags)

        def fdatasync(handle: int) -> None:
            sync(handle)
            self.loose.clear()

        monkeypatch.setattr(os, "pwritev", pwritev)
        monkeypatch.setattr(os, "fdatasync", fdatasync)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class Written:
    """A committer and what can be read of its folder."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.folder = Folder.create(root, "gw:1")
        self.sealed: list[Path] = []
        appender = Appender(self.folder, "gw:1", segment_bytes=4096)
        self.committer = Committer(appender, self.sealed.append, **options)

    @property
    def numbers(self) -> list[int]:
        found = [r for path in self.folder.segments(OPEN) for r in records_read(path)]
        return [r.request_id.int for r in found if isinstance(r, Voided) if r.request_id.int]


@asynccontextmanager
async def writing(root: Path, **options: Any) -> AsyncIterator[Written]:
    found = Written(root, **{"slow_s": 5} | options)
    found.committer.start()
    try:
        yield found
    finally:
        await found.committer.stop()
        found.folder.close()


@pytest.fixture
async def written(tmp_path: Path) -> AsyncIterator[Written]:
    async with writing(tmp_path) as found:
        yield found


def fails(number: int) -> Callable[[], None]:
    def fault() -> None:
        raise OSError(number, os.strerror(number))

    return fault


async def test_records_are_on_disk_in_their_order_when_the_wait_ends(written: Written) -> None:
    for number in range(1, 60):
        written.committer.write(frame_of(1000 + number))
        await written.committer.commit(frame_of(number))
        assert written.numbers[-1] == number
    assert written.numbers == [n for i in range(1, 60) for n in (1000 + i, i)]


async def test_those_that_wait_together_share_one_write(written: Written, disk: Disk) -> None:
    await written.committer.commit(frame_of(1))
    begun = disk.writes
    await asyncio.gather(*(written.committer.commit(frame_of(n)) for n in range(2, 66)))
    assert disk.writes - begun <= 3
    assert written.numbers == list(range(1, 66))


async def test_what_need_not_last_is_written_soon_by_itself(written: Written) -> None:
    written.committer.write(frame_of(1))
    await until(lambda: written.numbers == [1])


async def test_what_was_written_before_lasts_too(written: Written, disk: Disk) -> None:
    await written.committer.commit(frame_of(1))
    disk.loose.clear()  # the head of the segment, which another call makes last
    written.committer.write(frame_of(2))
    await until(lambda: written.numbers == [1, 2])
    assert disk.loose
    await written.committer.commit(b"")
    assert not disk.loose


async def test_the_end_of_a_segment_lasts_too(written: Written, disk: Disk) -> None:
    await written.committer.commit(frame_of(1))
    written.committer.write(frame_of(2))
    await until(lambda: written.numbers == [1, 2])
    assert disk.loose
    written.committer.rotate()
    await until(lambda: written.sealed)
    assert not disk.loose


async def test_a_full_segment_is_ended_and_another_begun(written: Written) -> None:
    for number in range(1, 301):
        await written.committer.commit(frame_of(number))
    assert len(written.sealed) >= 2
    assert written.sealed == written.folder.segments(OPEN)[:-1]
    assert written.numbers == list(range(1, 301))


async def test_an_old_segment_is_ended_when_told(written: Written) -> None:
    await written.committer.commit(frame_of(1))
    written.committer.rotate()
    await until(lambda: written.sealed)
    await written.committer.commit(frame_of(2))
    assert written.numbers == [1, 2]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.EIO, "broken"),
        (errno.EROFS, "broken"),
    ],
)
async def test_a_disk_that_fails_closes_and_a_finished_answer_waits_for_it(
    written: Written, disk: Disk, number: int, reason: str
) -> None:
    await written.committer.commit(frame_of(1))
    disk.fault = fails(number)
    begins = written.committer.commit(frame_of(2), is_new=True)
    ends = written.committer.commit(frame_of(3))
    with pytest.raises(SpoolClosed) as closed:
        await begins
    assert closed.value.reason == written.committer.closed_by == reason
    with pytest.raises(SpoolClosed):
        await written.committer.commit(frame_of(4), is_new=True)
    disk.fault = None
    await ends
    await until(lambda: written.committer.closed_by is None)
    await written.committer.commit(frame_of(5), is_new=True)
    assert written.numbers == [1, 3, 5]


async def test_after_a_torn_write_all_that_follows_can_be_read(
    written: Written, disk: Disk
) -> None:
    await written.committer.commit(frame_of(1))
    disk.fault = fails(errno.ENOSPC)
    ends = written.committer.commit(frame_of(2))
    await until(lambda: disk.part)
    disk.fault = None
    await ends
    await written.committer.commit(frame_of(3))
    assert written.numbers == [1, 2, 3]


async def test_a_finished_answer_waits_only_so_long_and_is_written_all_the_same(
    tmp_path: Path, disk: Disk
) -> None:
    async with writing(tmp_path, patience_s=0.1) as written:
        disk.fault = fails(errno.EIO)
        with pytest.raises(SpoolClosed):
            await asyncio.wait_for(written.committer.commit(frame_of(1)), 5)
        disk.fault = None
        await until(lambda: written.numbers == [1])


async def test_a_disk_that_turned_slow_closes_at_once_and_opens_when_it_is_quick(
    tmp_path: Path, disk: Disk
) -> None:
    async with writing(tmp_path, slow_s=0.25) as written:
        await written.committer.commit(frame_of(5))
        disk.fault = lambda: time.sleep(0.3)
        ends = written.committer.commit(frame_of(1))
        begins = written.committer.commit(frame_of(2), is_new=True)
        with pytest.raises(SpoolClosed, match="slow"):
            await begins
        assert not ends.done()  # refused while the disk still held on to the record
        await ends
        with pytest.raises(SpoolClosed):
            await written.committer.commit(frame_of(3), is_new=True)
        disk.fault = None
        await until(lambda: written.committer.closed_by is None)
        await written.committer.commit(frame_of(4), is_new=True)


async def test_with_too_little_room_nothing_new_begins_and_what_runs_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [100]
    monkeypatch.setattr(Appender, "free_bytes", property(lambda _: room[0]))
    async with writing(tmp_path, min_free_bytes=1000) as written:
        await written.committer.commit(frame_of(1))
        assert written.committer.closed_by == "full"
        with pytest.raises(SpoolClosed, match="full"):
            await written.committer.commit(frame_of(2), is_new=True)
        await written.committer.commit(frame_of(3))
        room[0] = 2000
        await until(lambda: written.committer.closed_by is None)


async def test_a_wait_that_was_given_up_disturbs_nobody(written: Written) -> None:
    given_up = written.committer.commit(frame_of(1))
    given_up.cancel()
    await written.committer.commit(frame_of(2))
    assert written.numbers == [1, 2]


async def test_stopping_writes_what_waits(tmp_path: Path) -> None:
    async with writing(tmp_path) as written:
        for number in range(1, 200):
            written.committer.write(frame_of(number))
    assert written.numbers == list(range(1, 200))
