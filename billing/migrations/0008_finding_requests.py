"""A request is found by its id without its owner's, and by the id that its client gave it."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models import Q

REKEY = """
ALTER TABLE billing_usageeventid DROP CONSTRAINT billing_usageeventid_pkey;
ALTER TABLE billing_usageeventid ADD PRIMARY KEY ({columns})
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_days_of_before")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "usageeventid",
                    "pk",
                    models.CompositePrimaryKey(
                        "request_id",
                        "organization_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                )
            ],
            database_operations=[
                migrations.RunSQL(
                    REKEY.format(columns="request_id, organization_id"),
                    REKEY.format(columns="organization_id, request_id"),
                )
            ],
        ),
        migrations.AddIndex(
            model_name="usageevent",
            index=models.Index(
                fields=["client_request_id", "organization", "-occurred_at", "-request_id"],
                condition=~Q(client_request_id=""),
                name="usage_event_own_id",
            ),
        ),
    ]
