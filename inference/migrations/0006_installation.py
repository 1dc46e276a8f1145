"""A name for this database, by which what is kept outside of it tells whose it is.

A function and no row: a dump takes it along, and nothing that empties tables changes it.
"""

from __future__ import annotations

from django.db import migrations

MAKE = """
DO $$ BEGIN
    EXECUTE format(
        'CREATE FUNCTION installation_id() RETURNS uuid LANGUAGE sql IMMUTABLE RETURN %L::uuid',
        gen_random_uuid()
    );
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("inference", "0005_live_checks")]

    operations = [migrations.RunSQL(MAKE, "DROP FUNCTION installation_id()")]
