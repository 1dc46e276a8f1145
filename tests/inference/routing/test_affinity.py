from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.routing.affinity import (
    LEAST_OPENING_BYTES,
    OPENING_CHARS,
    TEXT_CHARS,
    draw,
    opening_key,
    session_key,
)

KEYS = 20_000
ACME, GLOBEX = UUID(int=1), UUID(int=2)

uuids = st.uuids()
weights = st.floats(0.1, 10_000)
fleets = st.dictionaries(uuids, weights, min_size=2, max_size=12)
keys = st.integers(0, 2**64 - 1)


def owner(key: int, fleet: Mapping[UUID, float]) -> UUID:
    return max(fleet, key=lambda backend: draw(key, backend, fleet[backend]))


def shares(fleet: Mapping[UUID, float]) -> dict[UUID, float]:
    """What part of many keys each backend has."""
    chance = random.Random(4)  # noqa: S311
    found = Counter(owner(chance.getrandbits(64), fleet) for _ in range(KEYS))
    return {backend: found[backend] / KEYS for backend in fleet}


def backends(count: int) -> list[UUID]:
    chance = random.Random(count)  # noqa: S311
    return [UUID(int=chance.getrandbits(128), version=4) for _ in range(count)]


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_equal_backends_share_the_keys_within_a_tenth(count: int) -> None:
    for share in shares(dict.fromkeys(backends(count), 1.0)).values():
        assert share == pytest.approx(1 / count, rel=0.1)


def test_unequal_backends_share_them_by_weight_within_a_tenth() -> None:
    fleet = dict(zip(backends(4), (1.0, 2.0, 3.0, 4.0), strict=True))
    for backend, share in shares(fleet).items():
        assert share == pytest.approx(fleet[backend] / 10, rel=0.1)


def test_ids_that_count_up_share_the_keys_too() -> None:
    for share in shares({UUID(int=n): 1.0 for n in range(1, 5)}).values():
        assert share == pytest.approx(1 / 4, rel=0.1)


@given(fleets, keys, st.data())
def test_only_the_keys_of_a_backend_that_leaves_move(
    fleet: dict[UUID, float], key: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(sorted(fleet)))
    before = owner(key, fleet)
    after = owner(key, {backend: w for backend, w in fleet.items() if backend != gone})
    assert after == before or before == gone


@given(fleets, keys, weights, st.data())
def test_a_weight_that_changes_moves_only_what_its_backend_gains_or_loses(
    fleet: dict[UUID, float], key: int, weight: float, data: st.DataObject
) -> None:
    changed = data.draw(st.sampled_from(sorted(fleet)))
    before, after = owner(key, fleet), owner(key, fleet | {changed: weight})
    if weight >= fleet[changed]:
        assert after in {before, changed}
    else:
        assert after == before or before == changed


@given(keys, uuids, weights)
def test_every_draw_is_a_number_above_zero(key: int, backend: UUID, weight: float) -> None:
    assert 0 < draw(key, backend, weight) < float("inf")


@given(st.text())
def test_a_session_has_one_key_in_each_organization(session: str) -> None:
    assert session_key(ACME, session) == session_key(ACME, session) < 2**64
    assert session_key(ACME, session) != session_key(GLOBEX, session)
    assert session_key(ACME, session) != session_key(ACME, session + "x")


LONG = "You are a careful clerk. " * 50


def test_prompts_that_begin_alike_have_one_key() -> None:
    shared = (LONG, "x" * TEXT_CHARS)
    one, other = (opening_key(ACME, "m", (*shared[:-1], shared[-1] + text)) for text in "ab")
    assert one == other is not None


def test_behind_the_longest_system_prompt_the_first_message_counts() -> None:
    system = "x" * 10 * TEXT_CHARS
    one, other = (opening_key(ACME, "m", (system, text)) for text in ("Hello", "Goodbye"))
    assert one != other


def test_what_differs_early_has_another_key() -> None:
    found = {
        opening_key(ACME, "m", (LONG, "Hello")),
        opening_key(ACME, "m", (LONG, "Goodbye")),
        opening_key(ACME, "m", (LONG + "Hello",)),
        opening_key(ACME, "other", (LONG, "Hello")),
        opening_key(GLOBEX, "m", (LONG, "Hello")),
    }
    assert len(found) == 5
    assert None not in found


@pytest.mark.parametrize("texts", [(), ("",), ("x" * (LEAST_OPENING_BYTES - 1),)])
def test_a_short_opening_takes_no_part(texts: tuple[str, ...]) -> None:
    assert opening_key(ACME, "m", texts) is None
    assert opening_key(ACME, "m", (*texts, "x" * LEAST_OPENING_BYTES)) is not None


def test_no_more_of_a_prompt_is_read_than_it_takes() -> None:
    texts = iter([""] * 3 * OPENING_CHARS)
    opening_key(ACME, "m", texts)
    assert len(list(texts)) == 2 * OPENING_CHARS
