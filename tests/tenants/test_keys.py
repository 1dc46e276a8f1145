from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenants import keys


def test_a_minted_key_is_well_formed() -> None:
    assert keys.key_is_well_formed(keys.key_mint())


def test_no_two_keys_are_the_same() -> None:
    assert len({keys.key_mint() for _ in range(1000)}) == 1000


@given(place=st.integers(10, 58), letter=st.sampled_from("09AZaz"))
def test_a_mistyped_key_is_refused_without_a_lookup(place: int, letter: str) -> None:
    key = keys.key_mint()
    typo = key[:place] + letter + key[place + 1 :]
    assert keys.key_is_well_formed(typo) is (typo == key)
