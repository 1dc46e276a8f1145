"""The steps of a close, each of which can be stopped at: a trigger waits there for a lock.

1 the invoice is there, 2 its month is shut, 3 its lines, 4 its root, 5 its VAT, 6 its calls are in
the outbox; 7 a call is about to be made; Stripe has made 8 the customer, 9 the invoice, 10 an item
of it, and we do not know yet; 11 both are the same, 12 it is final there and not here, 13 it has a
number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, LiteralString, NamedTuple

import psycopg
from psycopg import sql

KEY: Final = 7000
"""Of all advisory locks here; a step has one for each organization above it."""
GO: Final = 0


class Step(NamedTuple):
    """What is written at the step, and how it is told. `is_stripes`: only what is pushed has it."""

    name: str
    event: LiteralString
    table: LiteralString
    when: LiteralString
    is_stripes: bool = False


STEPS: Final = (
    Step("its invoice begins", "INSERT", "billing_invoice", "NEW.kind = 'usage'"),
    Step("its month is shut", "UPDATE", "billing_books",
         "NEW.closed_until IS DISTINCT FROM OLD.closed_until"),
    Step("its lines are kept", "INSERT", "billing_invoiceline", "TRUE"),
    Step("its root is kept", "UPDATE", "billing_invoice", "NEW.state = 'frozen'"),
    Step("its VAT is set", "UPDATE", "billing_invoice",
         "NEW.state = 'draft' AND OLD.state <> 'draft'"),
    Step("its calls are put down", "INSERT", "billing_outboxitem", "TRUE", is_stripes=True),
    Step("a call is about to be made", "UPDATE", "billing_outboxitem",
         "NEW.first_sent_at IS NOT NULL AND OLD.first_sent_at IS NULL", is_stripes=True),
    *(
        Step(name, "UPDATE", "billing_outboxitem", when, is_stripes=True)
        for name, when in (
            ("Stripe has the customer", "NEW.state = 'done' AND NEW.op = 'customer.create'"),
            ("Stripe has the invoice", "NEW.state = 'done' AND NEW.op = 'invoice.create'"),
            ("Stripe has an item", "NEW.state = 'done' AND NEW.op = 'invoiceitem.create'"),
            ("it is final at Stripe", "NEW.state = 'done' AND NEW.op = 'invoice.finalize'"),
        )
    ),
    Step("both are the same", "UPDATE", "billing_invoice", "NEW.state = 'pushed'", is_stripes=True),
    Step("it has a number", "UPDATE", "billing_invoice", "NEW.number <> '' AND OLD.number = ''"),
)  # fmt: skip

_FUNCTION: Final = """
CREATE FUNCTION kills_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::int, hashtext(NEW.organization_id::text));
    RETURN NEW;
END $$
"""
_TRIGGER: Final = """
CREATE TRIGGER {} BEFORE {} ON {} FOR EACH ROW WHEN ({}) EXECUTE FUNCTION kills_wait({})
"""
_WAITING: Final = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND NOT granted
"""


def key_of(step: Step) -> int:
    return KEY + 1 + STEPS.index(step)


def steps_make(db: psycopg.Connection) -> None:
    """Once in a database, by its owner."""
    db.execute(_FUNCTION)
    for step in STEPS:
        db.execute(
            sql.SQL(_TRIGGER).format(
                sql.Identifier(f"kills_{key_of(step)}"), sql.SQL(step.event),
                sql.Identifier(step.table), sql.SQL(step.when), sql.Literal(str(key_of(step))),
            )
        )  # fmt: skip


@contextmanager
def held(db: psycopg.Connection, step: Step, organization_id: object) -> Iterator[None]:
    """Nobody passes the step for an organization until the block is over, or PostgreSQL dies."""
    lock = [key_of(step), str(organization_id)]
    db.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", lock)
    try:
        yield
    finally:
        with suppress(psycopg.OperationalError):
            db.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", lock)


def is_at(db: psycopg.Connection, step: Step) -> bool:
    """Whether somebody waits at the step."""
    return db.execute(_WAITING, [key_of(step)]).fetchone() is not None
