"""What whoever owns the database does to a chain, with the triggers off."""

# ruff: noqa: S608 - names of our own tables

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction

from tenants.audit.links import GENESIS, link_hash
from tenants.tenancy import OWNER, standing_as

ENTRY: Final = "tenants_auditentry"
HEAD: Final = "tenants_audithead"
COLUMNS: Final = (
    "organization_id, actor_id, on_behalf_of_id, action, target_type, target_id, data, personal,"
    " auth, request_id, reason, created_at, body, prev, hash"
)

type Act = Callable[[random.Random, UUID, int], None]


def sql(statement: str, *args: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, args)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def superuser() -> Iterator[None]:
    """Triggers and constraints do not look; what was done is undone after."""
    with standing_as(OWNER), transaction.atomic():
        sql("SET CONSTRAINTS ALL IMMEDIATE")  # or the table could not be altered
        sql(f"ALTER TABLE {ENTRY} DROP CONSTRAINT audit_entry_seq_unique")
        sql("SET LOCAL session_replication_role = replica")
        yield
        transaction.set_rollback(True)


def flip(chance: random.Random, chain: UUID, last: int) -> None:
    """One byte of what is hashed, or of a hash."""
    seq, column = chance.randint(1, last), chance.choice(["body", "prev", "hash"])
    kind = "convert_to(body, 'UTF8')" if column == "body" else column
    [[raw]] = sql(f"SELECT {kind} FROM {ENTRY} WHERE chain = %s AND seq = %s", chain, seq)
    at = chance.randrange(len(raw))
    changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
    to = changed.decode() if column == "body" else changed
    sql(f"UPDATE {ENTRY} SET {column} = %s WHERE chain = %s AND seq = %s", to, chain, seq)


def reword(chance: random.Random, chain: UUID, last: int) -> None:
    """A column that is shown, and not what was hashed."""
    change = chance.choice([
        "action = 'nothing'", "data = '[]'", "actor_id = NULL", "target_id = 'other'",
        "created_at = created_at + interval '1 hour'", "reason = 'because'", "auth = 'totp'",
    ])  # fmt: skip
    seq = chance.randint(1, last)
    sql(f"UPDATE {ENTRY} SET {change} WHERE chain = %s AND seq = %s", chain, seq)


def drop(chance: random.Random, chain: UUID, last: int) -> None:
    sql(f"DELETE FROM {ENTRY} WHERE chain = %s AND seq = %s", chain, chance.randint(1, last))


def insert(chance: random.Random, chain: UUID, last: int) -> None:
    """A copy of an entry at another's place, or after the last."""
    seq, to = chance.randint(1, last), chance.randint(1, last + 1)
    sql(
        f"INSERT INTO {ENTRY} (chain, seq, {COLUMNS}) SELECT chain, %s, {COLUMNS} FROM {ENTRY}"
        " WHERE chain = %s AND seq = %s",
        to,
        chain,
        seq,
    )


def swap(chance: random.Random, chain: UUID, last: int) -> None:
    one, other = chance.sample(range(1, last + 1), 2)
    change = f"UPDATE {ENTRY} SET seq = %s - seq WHERE chain = %s AND seq IN (%s, %s)"
    sql(change, one + other, chain, one, other)


def truncate(chance: random.Random, chain: UUID, last: int) -> None:
    """Its end goes; the head, sometimes, with it."""
    seq = chance.randint(0, last - 1)
    sql(f"DELETE FROM {ENTRY} WHERE chain = %s AND seq > %s", chain, seq)
    if chance.random() < 0.5:
        head_move(chain)


def fork(chance: random.Random, chain: UUID, last: int) -> None:
    """Another end from an entry on, which links, and the head on it."""
    rewrite(chain, chance.randint(1, last))


ACTS: Final[tuple[Act, ...]] = (flip, reword, drop, insert, swap, truncate, fork)


def rewrite(chain: UUID, start: int) -> None:
    """From `start` on another story, linked again to the last, with its head."""
    before = sql(f"SELECT hash FROM {ENTRY} WHERE chain = %s AND seq = %s", chain, start - 1)
    prev = bytes(before[0][0]) if before else GENESIS
    sql(
        f"UPDATE {ENTRY} SET action = 'nothing',"
        " body = jsonb_set(body::jsonb, '{action}', '\"nothing\"')::text"
        " WHERE chain = %s AND seq = %s",
        chain,
        start,
    )
    later = f"SELECT seq, body FROM {ENTRY} WHERE chain = %s AND seq >= %s ORDER BY seq"
    for seq, body in sql(later, chain, start):
        made = link_hash(prev, seq, chain, body)
        change = f"UPDATE {ENTRY} SET prev = %s, hash = %s WHERE chain = %s AND seq = %s"
        sql(change, prev, made, chain, seq)
        prev = made
    head_move(chain)


def head_move(chain: UUID) -> None:
    """The head to the last entry that is there."""
    last = f"SELECT seq, hash FROM {ENTRY} WHERE chain = %s ORDER BY seq DESC LIMIT 1"
    seq, hash_ = (sql(last, chain) or [(0, GENESIS)])[0]
    sql(f"UPDATE {HEAD} SET seq = %s, hash = %s WHERE chain = %s", seq, hash_, chain)
