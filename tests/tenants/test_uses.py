"""When and from where keys were used: brought home from Valkey in one statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tenants import keys, services
from tenants.models import AdminKey, ApiKey, RetiringSecret
from tenants.uses import USED, is_used, use_note, uses_keep
from tenants.valkey import client
from tests.conftest import Cast

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
MINUTE = NOON.replace(second=0)


def note(secret: str, moment: datetime = NOON, network: str = "203.0.113.0/24") -> None:
    client().hset(USED, keys.key_digest(secret), use_note(moment, network))


def seen(key: Any) -> tuple[datetime | None, str]:
    key.refresh_from_db()
    return key.last_used_at, key.last_network


def test_a_use_is_kept_to_the_minute(cast: Cast) -> None:
    assert not is_used(bytes(cast.key.api_key.digest))
    note(cast.key.secret)
    assert is_used(bytes(cast.key.api_key.digest))

    assert (uses_keep(), uses_keep()) == (1, 0)

    assert seen(cast.key.api_key) == (MINUTE, "203.0.113.0/24")
    assert seen(cast.rival_key.api_key) == (None, "")


def test_an_older_use_changes_nothing(cast: Cast) -> None:
    note(cast.key.secret)
    uses_keep()
    note(cast.key.secret, NOON - timedelta(hours=1), "198.51.100.0/24")
    uses_keep()
    assert seen(cast.key.api_key) == (MINUTE, "203.0.113.0/24")


def test_the_latest_place_of_a_minute_counts(cast: Cast) -> None:
    for network in ("203.0.113.0/24", "2001:db8::/48"):
        note(cast.key.secret, network=network)
        uses_keep()
    assert seen(cast.key.api_key) == (MINUTE, "2001:db8::/48")


def test_a_use_of_the_old_secret_is_one_of_the_key_too(cast: Cast) -> None:
    new = services.api_key_rotate(actor=None, api_key=cast.key.api_key)
    note(cast.key.secret)
    note(new.secret, NOON - timedelta(minutes=5), "198.51.100.0/24")

    uses_keep()

    assert seen(RetiringSecret.objects.get()) == (MINUTE, "203.0.113.0/24")
    assert seen(cast.key.api_key) == (MINUTE, "203.0.113.0/24")


def test_admin_keys_are_kept_too_and_what_is_gone_is_nothing(cast: Cast) -> None:
    new = services.admin_key_create(
        actor=None, organization=cast.acme, name="ci", may_write=False, expires_at=None
    )
    note(new.secret, network="")
    note(keys.key_mint())

    assert uses_keep() == 2

    assert seen(AdminKey.objects.get()) == (MINUTE, "")
    assert ApiKey.objects.filter(last_used_at=None).count() == 2


def test_what_a_run_took_that_died_is_kept_by_the_next(cast: Cast) -> None:
    note(cast.key.secret)
    client().rename(USED, f"{USED}:taken")
    note(cast.rival_key.secret)

    assert (uses_keep(), uses_keep()) == (1, 1)

    assert seen(cast.key.api_key)[0] == seen(cast.rival_key.api_key)[0] == MINUTE
