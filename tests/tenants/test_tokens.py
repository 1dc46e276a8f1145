"""Tokens of the playground: what is read back is what was signed, for a moment."""

from __future__ import annotations

from uuid import UUID

import pytest
import time_machine
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from tenants import tokens

KEY = UUID("019a0000-0000-7000-8000-000000000001")


@given(key=st.uuids(), user=st.integers(0, 2**63 - 1))
def test_a_token_says_whose_it_is(key: UUID, user: int) -> None:
    claims = tokens.token_read(tokens.token_mint(key, user))
    assert claims
    assert (claims.api_key_id, claims.user_id) == (key, user)


@given(data=st.data())
def test_a_token_with_another_letter_is_refused(data: st.DataObject) -> None:
    token = tokens.token_mint(KEY, 7)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters().filter(lambda letter: letter != token[place]))
    assert tokens.token_read(token[:place] + letter + token[place + 1 :]) is None


@given(st.text())
def test_junk_is_refused(text: str) -> None:
    for token in (text, tokens.PREFIX + text, tokens.token_mint(KEY, 7) + "A"):
        assert tokens.token_read(token) is None


def test_a_token_lives_two_minutes() -> None:
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        token = tokens.token_mint(KEY, 7)
        clock.shift(119)
        assert tokens.token_read(token)
        clock.shift(1)
        assert tokens.token_read(token) is None


def test_a_token_of_another_installation_is_refused() -> None:
    with override_settings(SECRET_KEY="another installation's"):
        token = tokens.token_mint(KEY, 7)
    assert tokens.token_read(token) is None


@pytest.mark.parametrize("empty", ["", tokens.PREFIX])
def test_nothing_is_no_token(empty: str) -> None:
    assert tokens.token_read(empty) is None
