"""Bodies of events are emptied after a while."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies: ClassVar = [("billing", "0015_excess")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="webhookevent",
            name="emptied_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                fields=["received_at"], condition=Q(emptied_at=None), name="webhook_event_full"
            ),
        ),
    ]
