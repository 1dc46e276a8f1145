"""A balance of before a crash is not believed: Valkey may have lost what was spent since."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from billing.holds import Denied, Granted, HoldsClient, Unknown, books, scopes_state, seed
from console.embedded import Running, Valkey
from tenants.valkey import client
from tests.billing.holds.conftest import ACME, ask, reconnected


class Crashing:
    """A Valkey with an append-only file, which can be killed, shortened and started again."""

    def __init__(self, folder: Path) -> None:
        self._server = Valkey(folder)
        self._running = Running(self._server)
        self.url = self._server.url

    @property
    def log(self) -> Path:
        [path] = (self._server.data_dir / "appendonlydir").glob("*.incr.aof")
        return path

    def restart(self, *, log: bytes | None = None) -> None:
        self._running.stop()
        if log is not None:
            self.log.write_bytes(log)
        self._running = Running(self._server)

    def stop(self) -> None:
        self._running.stop()


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashing]:
    server = Crashing(tmp_path / "valkey")
    blocking = redis.Redis.from_url(server.url)
    monkeypatch.setattr(books, "client", lambda: blocking)
    yield server
    blocking.close()
    server.stop()


@pytest.fixture
async def crashing_holds(crashing: Crashing) -> AsyncIterator[HoldsClient]:
    valkey = redis.asyncio.Redis.from_url(crashing.url)
    holds = HoldsClient(valkey, "gateway-1")
    await holds.start()
    yield holds
    await holds.stop()
    await valkey.aclose()


async def test_after_a_wipe_nothing_is_granted_before_a_seed(holds: HoldsClient) -> None:
    seed(ACME, 1, {"w": 100})
    assert isinstance(await holds.reserve(ask(10)), Granted)
    client().flushdb()  # of this process alone: others have theirs in the same server
    assert await holds.reserve(ask(10)) == Unknown(("w",))
    seed(ACME, 1, {"w": 100})
    assert isinstance(await holds.reserve(ask(10)), Granted)


async def test_an_epoch_that_changed_under_a_connection_is_read_again(
    holds: HoldsClient,
) -> None:
    seed(ACME, 1, {"w": 100})
    holds._epoch = b"of another primary"
    assert await holds.reserve(ask(10)) == Unknown(("w",))
    assert isinstance(await holds.reserve(ask(10)), Granted)


async def test_a_balance_that_a_crash_brought_back_grants_nothing(
    crashing: Crashing, crashing_holds: HoldsClient
) -> None:
    """100 were there; all of them are spent and booked, and then the end of the file is lost."""
    seed(ACME, 1, {"w": 100})
    early = crashing.log.read_bytes()
    wanted = ask(100)
    assert isinstance(await crashing_holds.reserve(wanted), Granted)
    await crashing_holds.settle(wanted.hold, ACME, 100, 0, b"record")
    assert seed(ACME, 2, {"w": 0})

    crashing.restart(log=early + b"*3\r\n$4\r\nHSET\r\n$5\r\ncut o")
    assert scopes_state(ACME)["w"].balance == 100
    await reconnected(crashing_holds)
    assert await crashing_holds.reserve(ask(10)) == Unknown(("w",))
    assert seed(ACME, 2, {"w": 0})
    assert isinstance(await crashing_holds.reserve(ask(10)), Denied)


async def test_the_first_seed_after_a_crash_is_believed_whatever_its_version(
    crashing: Crashing, crashing_holds: HoldsClient
) -> None:
    """PostgreSQL itself may have been set back to an older state."""
    seed(ACME, 9, {"w": 100})
    crashing.restart()
    await reconnected(crashing_holds)
    assert await crashing_holds.reserve(ask(10)) == Unknown(("w",))
    assert seed(ACME, 8, {"w": 70})
    assert isinstance(await crashing_holds.reserve(ask(70)), Granted)
    assert isinstance(await crashing_holds.reserve(ask(1)), Denied)
