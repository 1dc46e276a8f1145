"""Counts of log-ins are shared by Valkey, and kept by each process while it is away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import redis
import time_machine
from django.conf import settings
from django.core.cache import cache
from redis.backoff import NoBackoff
from redis.retry import Retry

from console import cache as caches
from tenants.valkey import client


@pytest.fixture(params=["valkey", "away"])
def _valkey_is(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "away":
        dead = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
        monkeypatch.setattr(caches, "client", lambda: dead)


@pytest.mark.usefixtures("_valkey_is")
def test_what_is_kept_is_found_until_its_time_is_over() -> None:
    cache.set("tries", [1.5, 2.5], 60)
    assert cache.get("tries") == [1.5, 2.5]
    assert not cache.add("tries", [], 60)
    assert cache.touch("tries", 60)
    assert cache.delete("tries")
    assert cache.add("tries", [1], 60)
    cache.set("tries", [], 0)
    assert cache.get("tries", "nothing") == "nothing"
    assert not cache.delete("tries")
    assert not cache.touch("tries")


def test_what_is_kept_in_valkey_is_json_and_goes_by_itself() -> None:
    cache.set("tries", [1.5], 60)

    [key] = client().keys("cache:*tries")
    assert client().get(key) == b"[1.5]"
    assert 0 < int(client().pttl(key)) <= 60_000
    cache.clear()
    assert not client().exists(key)


def test_each_process_forgets_in_time_while_valkey_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dead = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(caches, "client", lambda: dead)
    with time_machine.travel(0, tick=False) as clock:
        cache.set("tries", [1], 60)
        clock.shift(61)
        assert cache.get("tries") is None


def test_cookies_belong_to_one_host_where_the_console_is_https() -> None:
    ask = (
        "from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, s.COOKIE_PREFIX, "
        "s.SESSION_COOKIE_SECURE, s.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN, s.MFA_REQUIRED)"
    )
    env = os.environ | {"CONSOLE_URL": "https://console.test", "MFA_REQUIRED": ""}
    said = subprocess.run(  # noqa: S603
        [sys.executable, "-c", ask], env=env, cwd=settings.BASE_DIR, capture_output=True, check=True
    )

    names = "__Host-sessionid __Host-csrftoken __Host- True False True"
    assert said.stdout.decode().strip() == names
