"""The audit trail becomes chains: one per organization, and one of the platform.

`audit_append` is the one way in. It locks the head of the chain, numbers the entry, links it to the
one before by its hash, and moves the head, all in the transaction of the act. It runs with the
rights of its owner: whoever calls it needs EXECUTE on it and SELECT on the tables, no more.
"""

from __future__ import annotations

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models

TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""

FUNCTIONS = f"""
CREATE FUNCTION audit_append(of_organization uuid, facts jsonb) RETURNS tenants_auditentry
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    of_chain constant uuid := coalesce(of_organization, '00000000-0000-0000-0000-000000000000');
    head tenants_audithead;
    entry tenants_auditentry;
BEGIN
    SELECT * INTO head FROM tenants_audithead WHERE chain = of_chain FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO tenants_audithead (chain, organization_id, seq, hash)
            VALUES (of_chain, of_organization, 0, decode(repeat('00', 32), 'hex'))
            ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM tenants_audithead WHERE chain = of_chain FOR UPDATE;
    END IF;
    entry := audit_link(head, facts, clock_timestamp());
    INSERT INTO tenants_auditentry (chain, seq, prev, hash, body, organization_id, actor_id,
            on_behalf_of_id, action, target_type, target_id, data, personal, auth, request_id,
            reason, created_at)
        VALUES (of_chain, entry.seq, head.hash, entry.hash, entry.body, of_organization,
            (facts->>'actor')::bigint, (facts->>'on_behalf_of')::bigint, facts->>'action',
            facts->>'target_type', facts->>'target_id', facts->'data', facts->'personal',
            facts->>'auth', facts->>'request_id', facts->>'reason', entry.created_at)
        RETURNING * INTO entry;
    UPDATE tenants_audithead SET seq = entry.seq, hash = entry.hash WHERE chain = of_chain;
    RETURN entry;
END $$;

CREATE FUNCTION audit_link(head tenants_audithead, facts jsonb, at timestamptz)
RETURNS tenants_auditentry LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    entry tenants_auditentry;
BEGIN
    entry.created_at := at;
    entry.seq := head.seq + 1;
    entry.body := facts || jsonb_build_object('chain', head.chain, 'seq', entry.seq,
        'at', to_char(at AT TIME ZONE 'UTC', {TIME}));
    entry.hash := sha256(head.hash || int8send(entry.seq) || uuid_send(head.chain)
        || convert_to(entry.body, 'UTF8'));
    RETURN entry;
END $$;
"""

CHAIN_WHAT_IS_THERE = """
DO $$
DECLARE
    old record;
    head tenants_audithead;
    entry tenants_auditentry;
BEGIN
    FOR old IN SELECT * FROM tenants_auditentry ORDER BY id LOOP
        INSERT INTO tenants_audithead (chain, organization_id, seq, hash)
            VALUES (coalesce(old.organization_id, '00000000-0000-0000-0000-000000000000'),
                old.organization_id, 0, decode(repeat('00', 32), 'hex'))
            ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM tenants_audithead
            WHERE chain = coalesce(old.organization_id, '00000000-0000-0000-0000-000000000000');
        entry := audit_link(head, jsonb_build_object('action', old.action, 'actor', old.actor_id,
            'on_behalf_of', NULL, 'target_type', old.target_type, 'target_id', old.target_id,
            'data', old.data, 'personal', '{}'::jsonb, 'auth', '', 'request_id', '', 'reason', ''),
            old.created_at);
        UPDATE tenants_auditentry SET chain = head.chain, seq = entry.seq, prev = head.hash,
            hash = entry.hash, body = entry.body WHERE id = old.id;
        UPDATE tenants_audithead SET seq = entry.seq, hash = entry.hash WHERE chain = head.chain;
    END LOOP;
END $$;
SET CONSTRAINTS ALL IMMEDIATE;
"""

# A guard rail, no evidence: a superuser can take it down, and the anchors tell of it.
GUARDS = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stack text;
BEGIN
    IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'tenants_audithead' THEN
        GET DIAGNOSTICS stack = PG_CONTEXT;
        IF stack ~ 'function (public\\.)?audit_append\\(' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
DROP TRIGGER audit_entry_append_only ON tenants_auditentry;
CREATE TRIGGER audit_entry_append_only BEFORE INSERT OR UPDATE OR DELETE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON tenants_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_moves_only BEFORE INSERT OR UPDATE OR DELETE ON tenants_audithead
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON tenants_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
"""

NO_GUARDS = """
DROP TRIGGER audit_head_no_truncate ON tenants_audithead;
DROP TRIGGER audit_head_moves_only ON tenants_audithead;
DROP TRIGGER audit_entry_no_truncate ON tenants_auditentry;
DROP TRIGGER audit_entry_append_only ON tenants_auditentry;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP FUNCTION audit_refuse();
"""

NO_FUNCTIONS = """
DROP FUNCTION audit_link(tenants_audithead, jsonb, timestamptz);
DROP FUNCTION audit_append(uuid, jsonb);
"""

OPEN = "ALTER TABLE tenants_auditentry DISABLE TRIGGER USER;"
SHUT = "ALTER TABLE tenants_auditentry ENABLE TRIGGER USER;"


def head(name, **options):
    return models.ForeignKey(
        "tenants.organization",
        django.db.models.deletion.PROTECT,
        null=True,
        related_name=name,
        **options,
    )


CHAINED = (
    ("chain", models.UUIDField(editable=False)),
    ("seq", models.BigIntegerField(editable=False)),
    ("prev", models.BinaryField(editable=False, max_length=32)),
    ("hash", models.BinaryField(editable=False, max_length=32)),
    ("body", models.TextField(editable=False)),
)


def unfilled(field):
    """`field` as long as the entries of before have no value for it."""
    field = field.clone()
    field.null = True
    return field


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_routing")]

    operations = [
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("chain", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(editable=False)),
                ("hash", models.BinaryField(editable=False, max_length=32)),
                ("organization", head("+")),
            ],
        ),
        migrations.CreateModel(
            name="AuditStanding",
            fields=[
                ("chain", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(editable=False)),
                ("anchored_seq", models.BigIntegerField(default=0, editable=False)),
                ("checked_at", models.DateTimeField(editable=False)),
                ("findings", models.JSONField(default=list, editable=False)),
                ("organization", head("+")),
            ],
        ),
        migrations.CreateModel(
            name="AuditAnchor",
            fields=[
                (
                    "number",
                    models.PositiveBigIntegerField(
                        editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("at", models.DateTimeField(editable=False)),
                ("document", models.TextField(editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="AnchoredHead",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("chain", models.UUIDField(editable=False)),
                ("seq", models.BigIntegerField(editable=False)),
                ("hash", models.BinaryField(editable=False, max_length=32)),
                (
                    "anchor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="heads",
                        to="tenants.auditanchor",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("chain", "anchor"), name="anchored_head_unique")
                ]
            },
        ),
        migrations.CreateModel(
            name="PersonKey",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("subject", models.CharField(editable=False, max_length=100)),
                ("sealed", models.BinaryField(editable=False)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("erased_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("erased_at", None)),
                        fields=("subject",),
                        name="person_key_subject_unique",
                    )
                ]
            },
        ),
        migrations.AddField(
            "auditentry",
            "on_behalf_of",
            models.ForeignKey(
                settings.AUTH_USER_MODEL,
                django.db.models.deletion.PROTECT,
                null=True,
                related_name="+",
            ),
        ),
        migrations.AddField("auditentry", "auth", models.CharField(default="", max_length=50)),
        migrations.AddField(
            "auditentry", "request_id", models.CharField(default="", max_length=36)
        ),
        migrations.AddField("auditentry", "reason", models.TextField(default="")),
        migrations.AddField(
            "auditentry", "personal", models.JSONField(default=dict, editable=False)
        ),
        migrations.AlterField("auditentry", "organization", head("audit_entries", db_index=False)),
        migrations.AlterField(
            "auditentry",
            "actor",
            models.ForeignKey(
                settings.AUTH_USER_MODEL,
                django.db.models.deletion.PROTECT,
                null=True,
                related_name="+",
                db_index=False,
            ),
        ),
        *(migrations.AddField("auditentry", name, unfilled(field)) for name, field in CHAINED),
        migrations.RunSQL(OPEN, migrations.RunSQL.noop),
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        migrations.RunSQL(CHAIN_WHAT_IS_THERE, migrations.RunSQL.noop),
        migrations.RunSQL(SHUT, migrations.RunSQL.noop),
        *(migrations.AlterField("auditentry", name, field) for name, field in CHAINED),
        migrations.AddConstraint(
            "auditentry",
            models.UniqueConstraint(fields=("chain", "seq"), name="audit_entry_seq_unique"),
        ),
        migrations.AddIndex(
            "auditentry", models.Index(fields=["chain", "created_at"], name="audit_entry_time")
        ),
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["chain", "action", "seq"], name="audit_entry_action"),
        ),
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["chain", "actor", "seq"], name="audit_entry_actor"),
        ),
        migrations.AddIndex(
            "auditentry",
            models.Index(fields=["target_type", "target_id"], name="audit_entry_target"),
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
