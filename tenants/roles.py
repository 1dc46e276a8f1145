"""The roles of PostgreSQL, made by whoever may make them: a superuser, on servers of our own.

Elsewhere they are made by hand once, as `docs/running.md` shows.
"""

from __future__ import annotations

from typing import Final

from tenants.tenancy import APP_ROLE, OPERATOR_ROLE, OWNER_ROLE, WORKER_ROLE

ROLES: Final = (OWNER_ROLE, APP_ROLE, WORKER_ROLE, OPERATOR_ROLE)

ROLES_MAKE: Final = f"""
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['{"', '".join(ROLES)}'] LOOP
        BEGIN
            IF to_regrole(wanted) IS NULL THEN
                EXECUTE format('CREATE ROLE %I', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles are the whole server's, and another database was quicker
        END;
    END LOOP;
END $$
"""

TAKE_OVER: Final = f"""
DO $$
DECLARE
    ours record;
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO {OWNER_ROLE}', current_database());
    GRANT ALL ON SCHEMA public TO {OWNER_ROLE};
    FOR ours IN
        SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND relowner <> '{OWNER_ROLE}'::regrole
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO {OWNER_ROLE}', ours.name);
    END LOOP;
    FOR ours IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND proowner <> '{OWNER_ROLE}'::regrole
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE format('ALTER ROUTINE %s OWNER TO {OWNER_ROLE}', ours.name);
    END LOOP;
END $$
"""  # noqa: S608 - our own names
"""What another made before there were these roles becomes the owner's."""
