"""Events by month, an id that enters once, and what tells of numbers that do not add up."""

from __future__ import annotations

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.backends.postgresql.schema import DatabaseSchemaEditor
from django.db.migrations.state import StateApps

REPLACE = """
DROP TRIGGER usage_event_append_only ON billing_usageevent;
ALTER TABLE billing_usageevent RENAME TO billing_usageevent_before;
ALTER INDEX billing_usageevent_pkey RENAME TO billing_usageevent_before_pkey;
ALTER INDEX usage_event_recent RENAME TO billing_usageevent_before_recent;
CREATE TABLE billing_usageevent (
    LIKE billing_usageevent_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    PRIMARY KEY (organization_id, request_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX usage_event_recent
    ON billing_usageevent (organization_id, occurred_at DESC, request_id DESC);
CREATE INDEX usage_event_time ON billing_usageevent (occurred_at DESC, request_id DESC);
CREATE TRIGGER usage_event_append_only BEFORE UPDATE OR DELETE ON billing_usageevent
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
PARTITION = """
CREATE TABLE billing_usageevent_{start:%Y_%m} PARTITION OF billing_usageevent
    FOR VALUES FROM ('{start:%Y-%m}-01 00:00+00') TO ('{end:%Y-%m}-01 00:00+00')
"""
MONTHS = """
SELECT month, month + interval '1 month' FROM generate_series(
    (SELECT date_trunc('month', least(min(occurred_at), now()) AT TIME ZONE 'UTC')
        FROM billing_usageevent_before),
    (SELECT date_trunc('month', greatest(max(occurred_at), now()) AT TIME ZONE 'UTC')
        + interval '3 months' FROM billing_usageevent_before),
    interval '1 month'
) AS month
"""
MOVE = """
INSERT INTO billing_usageevent SELECT * FROM billing_usageevent_before;
INSERT INTO billing_usageeventid (organization_id, request_id)
    SELECT organization_id, request_id FROM billing_usageevent_before;
DROP TABLE billing_usageevent_before;
"""


def partition(apps: StateApps, schema_editor: DatabaseSchemaEditor) -> None:
    """Move the events, each into its month; months without events lie between."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(REPLACE)
        cursor.execute(MONTHS)
        for start, end in cursor.fetchall():
            cursor.execute(PARTITION.format(start=start, end=end))
        cursor.execute(MOVE)


def reference(name: str) -> models.ForeignKey:
    """What `name` of an event refers to; PostgreSQL does not check it."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to=f"tenants.{name}",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_metering"),
        ("tenants", "0004_routing"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageEventId",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "organization_id",
                        "request_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("organization_id", models.UUIDField()),
                ("request_id", models.UUIDField()),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField("usageevent", "organization", reference("organization")),
                migrations.AlterField("usageevent", "project", reference("project")),
                migrations.AlterField("usageevent", "api_key", reference("apikey")),
                migrations.AddIndex(
                    "usageevent",
                    models.Index(fields=["-occurred_at", "-request_id"], name="usage_event_time"),
                ),
            ],
            database_operations=[migrations.RunPython(partition)],
        ),
        migrations.CreateModel(
            name="BudgetSpent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "budget_id",
                        "period_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("period_start", models.DateField()),
                ("spent", models.DecimalField(decimal_places=12, max_digits=38)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="billing.budget",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ModelHalt",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=100, verbose_name="model")),
                (
                    "since",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("released_at", models.DateTimeField(null=True)),
                (
                    "released_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-since"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("released_at", None)),
                        fields=("model",),
                        name="model_halted_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Drift",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("charge", "Charged by the gateway, and rated"),
                            ("hour", "Sum of an hour, and its events"),
                            ("day", "Sum of a day, and its hours"),
                            ("backend", "Our tokens, and the engine’s"),
                        ],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("about", models.CharField(max_length=200, verbose_name="about")),
                ("at", models.DateTimeField()),
                ("expected", models.DecimalField(decimal_places=12, max_digits=38)),
                ("found", models.DecimalField(decimal_places=12, max_digits=38)),
                ("seen_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-seen_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "about", "at"), name="drift_once")
                ],
            },
        ),
    ]
