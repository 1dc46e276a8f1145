"""The format of a segment: what was written is read, and damage ends the reading, never more."""

from __future__ import annotations

import random
from datetime import UTC
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from billing.metering import UsageRecord, decode
from inference.gateway.spool.records import (
    SETTLED,
    Dispatch,
    Header,
    Progress,
    Record,
    Settled,
    Voided,
    frame,
    frames_read,
)
from tests.inference.gateway.spool.conftest import dispatch, record

word = st.text(max_size=10)
count = st.integers(0, 2**53)
moment = st.datetimes(timezones=st.just(UTC))
scopes = st.lists(st.text(max_size=40), max_size=4).map(tuple)
usages: Any = st.builds(
    UsageRecord, st.uuids(), st.uuids(), st.uuids(), st.uuids(), word, word, word,
    word, st.booleans(), word, moment, moment, st.none() | count, count, count, count,
    count, word, count, count, count, st.none() | count,
)  # fmt: skip
records: Any = st.one_of(
    st.builds(Header, st.integers(0, 9), word, moment, st.none() | st.uuids()),
    st.builds(Dispatch, usages, count, scopes),
    st.builds(Progress, st.uuids(), moment, count, count, count, count, st.none() | count),
    st.builds(Settled.of, usages, count, scopes, st.none() | count),
    st.builds(Voided, st.uuids()),
)


def read(data: bytes) -> list[Record]:
    return [found for _end, found in frames_read(data) if found]


def segment() -> tuple[list[Record], bytes, list[int]]:
    """Records of each kind, their frames, and where each of these ends."""
    written: list[Record] = [Header(1, "gw:1", record().occurred_at)]
    for number in range(4):
        id_ = UUID(int=number + 1)
        written += [dispatch(id_), Settled.of(record(id_), 32, ("w", "b:1")), Voided(id_)]
    frames = [frame(one) for one in written]
    ends = [sum(map(len, frames[: index + 1])) for index in range(len(frames))]
    return written, b"".join(frames), ends


@given(st.lists(records, max_size=3))
def test_what_was_written_is_read(written: list[Record]) -> None:
    assert read(b"".join(map(frame, written))) == written


@given(usages)
def test_a_settled_record_holds_the_bytes_of_the_stream(usage: UsageRecord) -> None:
    (found,) = read(frame(Settled.of(usage, 5, ())))
    assert isinstance(found, Settled)
    assert decode(bytes(found.record)) == usage
    assert found.tokens == usage.input_tokens + usage.output_tokens


def test_of_the_kinds_that_are_asked_for_all_are_read_and_no_other() -> None:
    written, data, _ends = segment()
    found = [record for _end, record in frames_read(data, SETTLED) if record]
    assert found == [record for record in written if isinstance(record, Header | Settled)]


def test_a_segment_that_was_cut_anywhere_is_read_up_to_the_last_whole_record() -> None:
    written, data, ends = segment()
    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends)
        assert read(data[:cut]) == written[:whole]
        assert read(data[:cut] + bytes(64)) == written[:whole]  # its room on the disk is zeros


def test_a_flipped_bit_ends_the_reading_before_its_record_and_invents_nothing() -> None:
    written, data, ends = segment()
    places = random.Random(5).sample(range(len(data) * 8), 200)  # noqa: S311
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        whole = sum(end <= place // 8 for end in ends)
        assert read(bytes(flipped)) == written[:whole]
