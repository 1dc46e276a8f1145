"""Holds as a gateway takes and ends them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

import msgspec
import redis
import redis.asyncio
import structlog

from billing.holds.asks import (
    MOST,
    Ask,
    Denied,
    Granted,
    HoldInvalid,
    LimitState,
    StoreAway,
    Unknown,
)
from billing.holds.scripts import DONE_S, RESERVE, SETTLE, Script, keys_of, lease_key
from billing.holds.wire import NoScript, Wire, bulk

LEASE_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.2

INFO: Final = ("INFO", "server", "replication")

log = structlog.get_logger()
encode: Final = msgspec.msgpack.Encoder().encode


class Answer(IntEnum):
    """What the first number of an answer of `reserve.lua` says."""

    GRANTED = 1
    REPEATED = 2
    OVER_LIMIT = 3
    OVER_MONEY = 4
    UNKNOWN = 5
    OVER = 6


class HoldsClient:
    """One connection of one process. All methods raise StoreAway when Valkey does not answer.

    What raised StoreAway may have had its effect: repeat it, or void the hold. The same goes for
    a `reserve` that was cancelled while it waited.
    """

    def __init__(self, valkey: redis.asyncio.Redis, gateway: str) -> None:
        self._valkey = valkey
        self._gateway = gateway
        self._wire: Wire | None = None
        self._epoch = b""
        self._lost_at = time.monotonic()
        self._leased_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    @property
    def is_leased(self) -> bool:
        """Whether no one else ends our holds: false when `beat` was not called in time."""
        return time.monotonic() < self._leased_until

    @property
    def epoch(self) -> bytes:
        """The run of Valkey that answers; empty while none does."""
        return b"" if self._wire is None or self._wire.lost.done() else self._epoch

    @property
    def away_s(self) -> float:
        """For how long none has."""
        return 0.0 if self.epoch else time.monotonic() - self._lost_at

    async def start(self) -> None:
        """Return when Valkey was tried once; from then on it is tried for ever."""
        self._task = asyncio.create_task(self._stay_connected())
        await self._tried.wait()

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._wire:
            await self._wire.close()

    async def reserve(self, ask: Ask) -> Granted | Denied | Unknown:
        """Hold the money and count the limits of `ask`, all or nothing; the last answer counts.

        Raises HoldInvalid for an amount beyond MOST and for a hold that was ended before.
        """
        keys = keys_of(ask.organization_id)
        hold = ask.hold.bytes
        if not 0 <= ask.amount_nano <= MOST:
            raise HoldInvalid(f"a hold of {ask.amount_nano} is not within 0 and 2^53 nano")
        spec = encode((
            keys.organization, ask.gateway, ask.amount_nano, ask.scopes, ask.limits,
        ))  # fmt: skip
        answer = await self._run(
            RESERVE, (keys.account, keys.holds, keys.done + hold), (hold, self._epoch, spec)
        )
        if answer[0] == Answer.UNKNOWN and answer[1]:
            await self._read_epoch()
        return _read_answer(ask, answer)

    async def settle(
        self,
        hold: UUID,
        organization_id: UUID,
        actual_nano: int,
        tokens: int,
        record: bytes,
        *,
        scopes: tuple[str, ...] = (),
    ) -> bool:
        """Book the actual amount, queue `record` and free the hold, once; False: done before.

        `scopes` are for a hold that Valkey has lost.
        """
        return await self._end(
            hold, organization_id, b"s",
            b"%d" % actual_nano, b"%d" % tokens, ",".join(scopes).encode(), record,
            keys_of(organization_id).organization.encode(),
        )  # fmt: skip

    async def void(self, hold: UUID, organization_id: UUID) -> bool:
        """Free the hold, whether or not it was granted, once; False: it was ended before."""
        return await self._end(hold, organization_id, b"v")

    async def has(self, holds: Mapping[UUID, UUID]) -> set[UUID]:
        """Which of `holds`, with their organizations, are open."""
        answers = [
            self._send(
                b"*3\r\n$7\r\nHEXISTS\r\n%b%b"
                % (bulk(keys_of(organization_id).holds), bulk(hold.bytes))
            )
            for hold, organization_id in holds.items()
        ]
        return {hold for hold, answer in zip(holds, answers, strict=True) if await answer}

    async def beat(self) -> None:
        """Hold the lease of this gateway for LEASE_S more."""
        began = time.monotonic()
        key = bulk(lease_key(self._gateway).encode())
        await self._send(
            b"*5\r\n$3\r\nSET\r\n%b$1\r\n1\r\n$2\r\nPX\r\n%b"
            % (key, bulk(b"%d" % (LEASE_S * 1000)))
        )
        self._leased_until = began + LEASE_S

    async def _end(self, hold: UUID, organization_id: UUID, mark: bytes, *more: bytes) -> bool:
        keys = keys_of(organization_id)
        end = (hold.bytes, mark, b"%d" % DONE_S, *more)
        done = keys.done + hold.bytes
        answer = await self._run(SETTLE, (keys.account, keys.holds, done, keys.stream), end)
        return bool(answer)

    async def _run(
        self, script: Script, keys: tuple[bytes, ...], arguments: tuple[bytes, ...]
    ) -> Any:
        parts = (b"%d" % len(keys), *keys, *arguments)
        tail = b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
        count = len(parts) + 2
        try:
            return await self._send(b"*%d\r\n%b%b" % (count, script.by_sha, tail))
        except NoScript:
            return await self._send(b"*%d\r\n%b%b" % (count, script.by_text, tail))

    def _send(self, command: bytes) -> asyncio.Future[Any]:
        """Its answer to come."""
        if self._wire is None:
            raise StoreAway("Valkey is away")
        return self._wire.send(command)

    async def _read_epoch(self) -> None:
        """The epoch may change under a connection: by a replica that became the primary."""
        self._epoch = epoch_of(await self._send(_packed(*INFO)))

    async def _stay_connected(self) -> None:
        is_down = False
        while True:
            try:
                await self._connect()
                is_down = False
            except (StoreAway, redis.RedisError, OSError) as error:
                if not is_down:
                    log.warning("holds.away", error=type(error).__name__)
                is_down = True
            self._tried.set()
            if self._wire:
                await asyncio.shield(self._wire.lost)
                self._lost_at = time.monotonic()
                await self._wire.close()
                self._wire = None
                log.warning("holds.lost")
            else:
                await asyncio.sleep(RETRY_S)

    async def _connect(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            wire, info = await Wire.open(
                self._valkey,
                ("SCRIPT", "LOAD", RESERVE.text),
                ("SCRIPT", "LOAD", SETTLE.text),
                INFO,
            )
        try:
            self._epoch = epoch_of(info)
        except StoreAway:
            await wire.close()
            raise
        self._wire = wire


def epoch_of(info: bytes | str) -> bytes:
    """Which run of which primary `info` is of: a balance of another one is not to be trusted."""
    text = info if isinstance(info, bytes) else info.encode()
    found = re.search(rb"\brun_id:(\w+)(?s:.*)\bmaster_replid:(\w+)", text)
    if found is None:
        raise StoreAway("Valkey does not tell its run id")
    return found[1] + found[2]


def _packed(*parts: str) -> bytes:
    return b"*%d\r\n%b" % (len(parts), b"".join(bulk(part.encode()) for part in parts))


def _read_answer(ask: Ask, answer: list[int]) -> Granted | Denied | Unknown:
    kind = answer[0]
    if kind <= Answer.REPEATED:
        return Granted(_states(ask, answer, 1), kind == Answer.REPEATED)
    if kind == Answer.UNKNOWN:
        return Unknown(tuple([ask.scopes[index] for index in answer[2:]]))
    if kind == Answer.OVER:
        raise HoldInvalid(f"the hold {ask.hold} was ended before")
    states = _states(ask, answer, 4)
    _, index, third, fourth = answer[:4]
    if kind == Answer.OVER_MONEY:
        return Denied(ask.scopes[index], None, third, fourth, None, states)
    limit = ask.limits[index]
    wait_s = None if fourth < 0 else fourth / 1000
    return Denied(limit.id, limit.kind, limit.value, third, wait_s, states)


def _states(ask: Ask, answer: list[int], at: int) -> tuple[LimitState, ...]:
    return tuple(
        [
            LimitState(limit.id, limit.kind, limit.value, answer[n], answer[n + 1] / 1000)
            for n, limit in zip(range(at, len(answer), 2), ask.limits, strict=True)
        ]
    )
