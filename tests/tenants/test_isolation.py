"""PostgreSQL itself keeps organizations apart: each table, in the app's role, by plain SQL."""

# ruff: noqa: S608 - names of our own tables

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, ProgrammingError, connection, transaction
from django.db.backends.utils import CursorWrapper

from tenants import tenancy
from tenants.isolation import ALL_ROWS
from tenants.models import Membership, Project
from tenants.tenancy import LOGIN, NOBODY, OWNER, STAFF, standing_as
from tests.conftest import Cast
from tests.servers import console_url, services_url

pytestmark = pytest.mark.django_db

TABLES: Final = """
SELECT relname, relispartition, relrowsecurity, relforcerowsecurity, array(
    SELECT role::regrole::text FROM pg_policy, unnest(polroles) AS role
    WHERE polrelid = pg_class.oid AND polcmd = '*'
)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND attname = 'organization_id' AND NOT attisdropped
ORDER BY relname
"""
COLUMNS: Final = """
SELECT attname, atttypid::regtype::text, CASE atttypmod WHEN -1 THEN 36 ELSE atttypmod - 4 END
FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    AND (attnotnull AND NOT atthasdef AND attidentity = '' OR attname = 'organization_id')
"""
CHECKS: Final = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname)
FROM pg_constraint WHERE contype = 'c' AND coninhcount = 0 AND conrelid = ANY (%s::regclass[])
"""
SHARED: Final = frozenset({"billing_pricebook", "billing_volumetier"})
"""A row of these without an organization is everybody's."""
TEXTS: Final = ("character varying", "text")
ANY: Final = {
    "boolean": "false", "bytea": "sha256(gen_random_uuid()::text::bytea)", "date": "current_date",
    "jsonb": "'{}'", "timestamp with time zone": "now()", "uuid": "gen_random_uuid()",
}  # fmt: skip


def sql(statement: str, *args: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, args or None)
        return cursor.fetchall() if cursor.description else []


def tables_of_organizations() -> list[str]:
    return [name for name, is_partition, *_ in sql(TABLES) if not is_partition]


def row_put(cursor: CursorWrapper, table: str, organization: UUID) -> None:
    """Any row at all; nothing looks at what it says or refers to."""
    cursor.execute(COLUMNS, [table])
    values = {
        name: f"'{organization}'" if name == "organization_id" else _any(kind, length)
        for name, kind, length in cursor.fetchall()
    }
    names, given = ", ".join(values), ", ".join(values.values())
    cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({given})")


def _any(kind: str, length: int) -> str:
    usual = f"left(gen_random_uuid()::text, {length})" if kind in TEXTS else "1"
    return ANY.get(kind, "'{}'" if kind.endswith("[]") else usual)


@pytest.fixture
def filled(cast: Cast) -> Iterator[None]:
    """Each table has a row of Acme's and one of Rival's."""
    with standing_as(OWNER), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        for (drop,) in sql(CHECKS, tables_of_organizations()):
            cursor.execute(drop)
        for table in tables_of_organizations():
            for organization in (cast.acme, cast.rival):
                if not sql(f"SELECT 1 FROM {table} WHERE organization_id = %s", organization.pk):
                    row_put(cursor, table, organization.pk)
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    yield
    transaction.set_rollback(True)


def test_every_table_of_organizations_is_shut() -> None:
    for table, is_partition, is_shut, is_forced, roles in sql(TABLES):
        why = f"{table}: `manage.py migrate` shuts it, by tenants.isolation"
        assert is_shut, why
        assert is_forced, why
        assert set(ALL_ROWS.roles) <= {*roles}, why
        assert ("sluice_app" in roles) is not is_partition, why


def test_another_organization_has_no_row_in_any_table(filled: None, cast: Cast) -> None:
    tables = tables_of_organizations()
    assert len(tables) > 25
    for table in tables:
        owned = "organization_id IS NOT NULL" if table in SHARED else "true"
        with standing_as(tenancy.member(cast.acme.pk)):
            found = sql(f"SELECT DISTINCT organization_id FROM {table} WHERE {owned}")
            assert found == [(cast.acme.pk,)], table
        with standing_as(NOBODY):
            assert sql(f"SELECT 1 FROM {table} WHERE {owned}") == [], table
        with standing_as(STAFF):
            assert len(sql(f"SELECT DISTINCT organization_id FROM {table}")) >= 2, table


def test_no_row_of_another_organization_can_be_made_changed_or_deleted(
    filled: None, cast: Cast
) -> None:
    for table in tables_of_organizations():
        for act in (
            f"UPDATE {table} SET organization_id = organization_id WHERE organization_id = %s",
            f"DELETE FROM {table} WHERE organization_id = %s",
        ):
            with standing_as(tenancy.member(cast.acme.pk)):
                assert _changed(act, cast.rival.pk) == 0, table
        with (
            standing_as(tenancy.member(cast.acme.pk)),
            pytest.raises(ProgrammingError, match=r"row-level security|permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            row_put(cursor, table, cast.rival.pk)


def _changed(act: str, organization: UUID) -> int:
    """How many rows; of what the app may not do at all, none."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(act, [organization])
            return int(cursor.rowcount)
    except ProgrammingError as refused:
        if "permission denied" in str(refused):
            return 0
        raise


def test_a_row_does_not_move_to_another_organization(cast: Cast) -> None:
    with (
        standing_as(tenancy.member(cast.acme.pk)),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Project.objects.filter(pk=cast.project.pk).update(organization=cast.rival)


def test_people_see_where_they_belong_and_nobody_else_there(cast: Cast) -> None:
    with standing_as(NOBODY):
        tenancy.recognize(cast.rita.pk)
        assert list(Membership.objects.values_list("user", flat=True)) == [cast.rita.pk]
        assert sql("SELECT slug FROM tenants_organization") == [("rival",)]


def test_the_months_of_usage_are_reached_through_their_table_alone(cast: Cast) -> None:
    [month, *_] = [name for name, is_partition, *_ in sql(TABLES) if is_partition]
    for standing in (LOGIN, STAFF, tenancy.member(cast.acme.pk)):
        with (
            standing_as(standing),
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
        ):
            sql(f"SELECT FROM {month}")


def test_a_month_that_is_none_is_not_made() -> None:
    with pytest.raises(DataError, match="no month"), transaction.atomic():
        sql("SELECT usage_month_make('2026-03-02')")
    with standing_as(NOBODY), pytest.raises(ProgrammingError), transaction.atomic():
        sql("SELECT usage_month_make('2026-03-01')")


def test_no_role_is_above_the_policies() -> None:
    above = "SELECT rolname FROM pg_roles WHERE rolname ~ '^sluice_' AND (rolsuper OR rolbypassrls)"
    assert sql(above) == []


@pytest.mark.parametrize("role", ["sluice_worker", "sluice_owner", "sluice_services"])
def test_the_console_is_nobody_and_becomes_no_more_than_staff(role: str) -> None:
    with psycopg.connect(console_url(), autocommit=True) as db:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("SELECT FROM tenants_project")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("SELECT set_config('role', %s, false)", [role])
        db.execute("SELECT set_config('role', 'sluice_app', false)")
        db.execute("SELECT FROM tenants_project")


def test_the_worker_owns_nothing() -> None:
    with psycopg.connect(services_url(), autocommit=True) as db:
        for act in ("SET ROLE sluice_owner", "TRUNCATE tenants_project", "CREATE TABLE mine ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(act)


def test_what_was_told_in_a_transaction_is_told_again_after_it_failed(cast: Cast) -> None:
    with standing_as(tenancy.member(cast.acme.pk)):
        assert Project.objects.count() == 1
        with transaction.atomic():
            with standing_as(STAFF):
                assert Project.objects.count() == 2
            transaction.set_rollback(True)
        assert Project.objects.count() == 1


def test_the_policy_is_a_condition_of_the_index(cast: Cast) -> None:
    """That of a page of requests: those of one organization, the newest first."""
    with standing_as(tenancy.member(cast.acme.pk)), transaction.atomic():
        sql("SET LOCAL enable_seqscan = off")
        [[plan]] = sql(
            "EXPLAIN (FORMAT JSON) SELECT request_id FROM billing_usageevent"
            " ORDER BY occurred_at DESC, request_id DESC LIMIT 50"
        )
    assert "(organization_id = (NULLIF(current_setting('app.organization'" in _conditions(plan)


def _conditions(plan: Any) -> str:
    if isinstance(plan, list):
        return "".join(map(_conditions, plan))
    if isinstance(plan, dict):
        own = str(plan.get("Index Cond", ""))
        return own + "".join(_conditions(part) for part in plan.values())
    return ""


def test_seeing_everything_has_a_reason() -> None:
    with pytest.raises(ValueError, match="why"), tenancy.everything(""):
        pass
