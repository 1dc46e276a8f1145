"""Row-level security: who may do what with which rows, made so after each migration.

A table with a column `organization_id` gets its policies by itself, and every table its grants.
What is another's must be told here: see `TENANT_OF` and `APP_READS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from django.db.backends.utils import CursorWrapper

from tenants.tenancy import APP_ROLE, OPERATOR_ROLE, OWNER_ROLE, WORKER_ROLE

ORGANIZATION: Final = "nullif(current_setting('app.organization', true), '')::uuid"
USER: Final = "nullif(current_setting('app.user', true), '')::bigint"

TENANT_OF: Final[Mapping[str, str]] = {
    "tenants_organization": f"""id = {ORGANIZATION} OR EXISTS (
        SELECT FROM tenants_membership AS mine
        WHERE mine.organization_id = tenants_organization.id AND mine.user_id = {USER})""",
    "billing_balance": """EXISTS (
        SELECT FROM billing_account AS account WHERE account.id = account_id)""",
    "billing_budgetspent": """EXISTS (
        SELECT FROM billing_budget AS budget WHERE budget.id = budget_id)""",
    "billing_rate": """EXISTS (
        SELECT FROM billing_pricebook AS book WHERE book.id = book_id)""",
}
"""Tables of organizations without the column: which rows are those of whoever asks."""

OWN_TOO: Final[Mapping[str, str]] = {
    "tenants_membership": f"user_id = {USER}",
    "billing_terms": f"""EXISTS (
        SELECT FROM tenants_membership AS mine
        WHERE mine.organization_id = billing_terms.organization_id AND mine.user_id = {USER})""",
    "billing_pricebook": "organization_id IS NULL",
    "billing_volumetier": "organization_id IS NULL",
}
"""What people may see besides: where they belong is known before an organization is chosen, and
what has no organization there is everybody's.
"""

APPENDED: Final = frozenset({"billing_invoicedocument", "billing_transfer", "billing_usageevent"})
CHAINED: Final = frozenset({"tenants_auditentry", "tenants_audithead"})
"""Written by `audit_append` alone, which has its owner's rights."""

APP_WRITES: Final = frozenset({
    "billing_autotopup", "billing_billingprofile", "billing_books", "billing_budget",
    "billing_budgetalert", "billing_budgetspent", "billing_limit", "billing_outboxitem",
    "billing_payment", "billing_stripecustomer", "billing_terms",
})  # fmt: skip
APP_APPENDS: Final = frozenset({"billing_invoicedocument"})
"""Made when somebody first asks for it."""
APP_READS: Final = ("billing_", "inference_")
"""Of these apps the pages of members only read, but for APP_WRITES."""
APP_LEAVES: Final = frozenset({
    "billing_backendhour", "billing_drift", "billing_spender", "billing_transfer",
    "django_admin_log", "django_migrations",
})  # fmt: skip
"""No page of a member looks at them."""

_TABLES: Final = """
SELECT relname, relispartition, relrowsecurity AND relforcerowsecurity, EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = pg_class.oid AND attname = 'organization_id' AND NOT attisdropped
)
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND relowner = 'sluice_owner'::regrole
ORDER BY relname
"""
_POLICIES: Final = """
SELECT polrelid::regclass::text, polname, obj_description(oid, 'pg_policy') FROM pg_policy
"""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    is_partition: bool
    is_shut: bool
    """By row-level security, against its owner too."""
    has_organization: bool

    @property
    def is_tenants(self) -> bool:
        return self.has_organization or self.name in TENANT_OF


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    roles: tuple[str, ...]
    using: str
    check: str

    @property
    def mark(self) -> str:
        """Kept beside it, so that one that has not changed is left alone."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def sql(self, table: str) -> str:
        return f"""
DROP POLICY IF EXISTS {self.name} ON {table};
CREATE POLICY {self.name} ON {table} TO {", ".join(self.roles)}
    USING ({self.using}) WITH CHECK ({self.check});
COMMENT ON POLICY {self.name} ON {table} IS '{self.mark}';
"""


ALL_ROWS: Final = Policy("all_rows", (OWNER_ROLE, WORKER_ROLE, OPERATOR_ROLE), "true", "true")


def tables_read(cursor: CursorWrapper) -> list[Table]:
    """Those of the owner's, with the months of usage."""
    cursor.execute(_TABLES)
    return [Table(*row) for row in cursor.fetchall()]


def isolate(cursor: CursorWrapper) -> None:
    """Make policies and grants as they should be; as the owner."""
    tables = tables_read(cursor)
    cursor.execute(_POLICIES)
    marks = {(table, name): mark for table, name, mark in cursor.fetchall()}
    for table in tables:
        if table.is_tenants:
            for statement in _shut(table, marks):
                cursor.execute(statement)
    for statement in _grants(tables):
        cursor.execute(statement)


def policies_of(table: Table) -> Iterator[Policy]:
    """A partition is reached through its parent, by whoever may reach that."""
    yield ALL_ROWS
    if not table.is_partition:
        mine = TENANT_OF.get(table.name, f"organization_id = {ORGANIZATION}")
        seen = f"{mine} OR {own}" if (own := OWN_TOO.get(table.name)) else mine
        yield Policy("own_rows", (APP_ROLE,), seen, mine)


def _shut(table: Table, marks: Mapping[tuple[str, str], str]) -> Iterator[str]:
    if not table.is_shut:
        yield f"""
ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY
"""
    for policy in policies_of(table):
        if marks.get((table.name, policy.name)) != policy.mark:
            yield policy.sql(table.name)


def _grants(tables: Iterable[Table]) -> Iterator[str]:
    """Nobody but the owner has a right that is not told here."""
    names = [table.name for table in tables if not table.is_partition]
    roles = f"{APP_ROLE}, {WORKER_ROLE}, {OPERATOR_ROLE}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {roles}"
    for rights, to, of in (
        (all_rights, f"{WORKER_ROLE}, {OPERATOR_ROLE}", names),
        (app_rights, APP_ROLE, names),
    ):
        for right, chosen in _by_right(rights, of).items():
            yield f"GRANT {right} ON {', '.join(chosen)} TO {to}"


def _by_right(rights: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        if right := rights(name):
            found.setdefault(right, []).append(name)
    return found


def all_rights(name: str) -> str:
    """Of the worker and the operators."""
    if name in CHAINED:
        return "SELECT"
    return "SELECT, INSERT" if name in APPENDED else "SELECT, INSERT, UPDATE, DELETE"


def app_rights(name: str) -> str:
    if name in APP_LEAVES:
        return ""
    only_reads = name.startswith(APP_READS) and name not in APP_WRITES | APP_APPENDS
    return "SELECT" if only_reads else all_rights(name)
