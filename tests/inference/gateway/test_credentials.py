"""Attacks on how a key is read: hostile headers, keys that nearly are, two keys in one request."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2 as httpx
import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from inference.gateway.auth import key_entry
from inference.snapshot import KeyEntry, Snapshot
from tenants import keys
from tests.inference.gateway.conftest import Running, World, chat, records

pytestmark = pytest.mark.django_db

HOSTILE: Final[dict[str, bytes]] = {
    "a quote": b"'",
    "SQL that is true": b"sluice_sk_' OR '1'='1",
    "SQL with a comment": b"sluice_sk_x'; DROP TABLE tenants_apikey; --",
    "SQL that joins": b"sluice_sk_x' UNION SELECT digest FROM tenants_apikey --",
    "SQL that waits": b"sluice_sk_x'||pg_sleep(99)||'",
    "SQL in dollars": b"$$; SELECT pg_sleep(99); $$",
    "LIKE": b"sluice_sk_%",
    "all of LIKE": b"_" * 59,
    "a NUL in hex": b"sluice_sk_\\x00",
    "bad UTF-8": b"sluice_sk_\xff\xfe\xc3\x28",
    "overlong UTF-8": b"sluice_sk_\xc0\xaf",
    "a lone surrogate": b"sluice_sk_\xed\xa0\x80",
    "other digits": b"sluice_sk_" + "\N{ARABIC-INDIC DIGIT ONE}".encode() * 49,
    "a template": b"{{ 7 * 7 }}${jndi:ldap://127.0.0.1/a}",
    "a path": b"../../../../etc/passwd",
    "a percent": b"%s%s%s%n%d",
    "a tab": b"sluice_sk_\t" + b"0" * 49,
}
"""What an HTTP server takes as the value of a header, and no key is."""


def raw(gateway: Running, *headers: bytes) -> bytes:
    """The answer to a request with these header lines, whatever is in them."""
    at = urlsplit(gateway.url)
    lines = (b"GET /v1/models HTTP/1.1", b"Host: x", *headers, b"Connection: close", b"", b"")
    with socket.create_connection((at.hostname, at.port), timeout=60) as connection:
        got = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was whole
            connection.sendall(b"\r\n".join(lines))
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                got += data
    return got


@pytest.mark.parametrize("name", ["Authorization: Bearer ", "x-api-key: ", "api-key: "])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_key_is_a_bad_key(gateway: Running, name: str, value: bytes) -> None:
    began = time.monotonic()
    answer = raw(gateway, name.encode() + value)
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:200]
    assert b'"code":"invalid_api_key"' in answer
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("value", [b"\0", b"sluice_sk_\0" + b"0" * 49, b"a\rb", b"\x7f\x01"])
def test_what_http_does_not_allow_in_a_header_gets_no_further(
    gateway: Running, value: bytes
) -> None:
    answer = raw(gateway, b"x-api-key: " + value)
    assert not answer or answer.split(b" ")[1] in {b"400", b"401"}


@pytest.mark.parametrize("size", [8_000, 100_000, 1_000_000])
def test_a_huge_key_costs_nothing(gateway: Running, key: str, size: int) -> None:
    answer = raw(gateway, b"Authorization: Bearer sluice_sk_" + b"0" * size)
    assert not answer or answer.split(b" ")[1] in {b"400", b"401", b"431"}
    good = httpx.get(f"{gateway.url}/v1/models", headers={"x-api-key": key})
    assert good.status_code == 200


def twins() -> Iterator[str]:
    """Well-formed keys that share all but their last characters of secret with each other."""
    body = keys.key_mint()[:-9]
    for tail in itertools.product("0a", repeat=3):
        whole = body + "".join(tail)
        yield whole + keys._checksum(whole)


def test_keys_that_share_nearly_all_characters_are_each_their_own() -> None:
    """None is told apart by a part of it: not by its first 20 characters, and not by its last."""
    secrets = list(twins())
    entries = {
        keys.key_digest(secret): KeyEntry(uuid4(), uuid4(), uuid4()) for secret in secrets[1:]
    }
    snapshot = _snapshot(entries)

    assert len({secret[:50] for secret in secrets}) == 1
    assert len({secret[20:50] for secret in secrets}) == 1
    assert key_entry(snapshot, secrets[0]) is None
    found = [key_entry(snapshot, secret) for secret in secrets[1:]]
    assert found == list(entries.values())


@given(place=st.integers(10, 58), letter=st.sampled_from("09AZaz"))
def test_a_key_with_one_other_character_is_another(place: int, letter: str) -> None:
    key = keys.key_mint()
    other = key[:place] + letter + key[place + 1 :]
    whole = other[:-6] + keys._checksum(other[:-6])
    snapshot = _snapshot({keys.key_digest(key): KeyEntry(uuid4(), uuid4(), uuid4())})
    assert (key_entry(snapshot, whole) is None) is (whole != key)


def _snapshot(entries: dict[bytes, KeyEntry]) -> Snapshot:
    return Snapshot(timezone.now(), uuid4(), entries, {}, {}, {}, {}, ())


CARRIERS: Final = ("Authorization", "x-api-key", "api-key")


@pytest.mark.parametrize(("one", "other"), list(itertools.product(CARRIERS, repeat=2)))
def test_two_keys_at_once_are_refused_wherever_they_are(
    gateway: Running, world: World, one: str, other: str
) -> None:
    mine, rivals = world.cast.key.secret, world.cast.rival_key.secret
    headers = [(one, _value(one, mine)), (other, _value(other, rivals))]
    for pair in (headers, headers[::-1]):
        answer = httpx.post(
            f"{gateway.url}/v1/chat/completions", json=chat(), headers=httpx.Headers(pair)
        )
        assert answer.status_code == 400, pair
        assert answer.json()["error"]["code"] == "conflicting_credentials"
    assert records() == []


@pytest.mark.parametrize("name", ["AUTHORIZATION", "authorization", "X-API-KEY", "Api-Key"])
def test_the_name_of_a_header_is_the_same_in_any_case(
    gateway: Running, key: str, name: str
) -> None:
    answer = httpx.get(f"{gateway.url}/v1/models", headers={name: _value(name, key)})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "name",
    ["x_api_key", "x-api-key-", "x-api.key", "Proxy-Authorization", "X-Authorization", "Cookie",
     "x-goog-api-key", "anthropic-api-key"],
)  # fmt: skip
def test_no_other_header_carries_a_key(gateway: Running, key: str, name: str) -> None:
    answer = httpx.get(f"{gateway.url}/v1/models", headers={name: _value(name, key)})
    assert answer.status_code == 401


def test_no_key_is_taken_from_the_address(gateway: Running, key: str) -> None:
    for name in ("api_key", "api-key", "key", "access_token"):
        assert httpx.get(f"{gateway.url}/v1/models?{name}={key}").status_code == 401


def _value(name: str, secret: str) -> str:
    return f"Bearer {secret}" if "authorization" in name.lower() else secret
