"""Usage events are append-only: PostgreSQL itself refuses to change or delete one."""

from __future__ import annotations

from django.db import migrations

REFUSE = """
CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON billing_usageevent
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

ALLOW = """
DROP TRIGGER usage_event_append_only ON billing_usageevent;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial"), ("tenants", "0002_audit_append_only")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
