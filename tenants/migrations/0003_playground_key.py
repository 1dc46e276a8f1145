from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tenants", "0002_audit_append_only")]

    operations: ClassVar = [
        migrations.AddField(
            model_name="apikey",
            name="kind",
            field=models.CharField(
                choices=[("secret", "Secret"), ("playground", "Playground")],
                default="secret",
                editable=False,
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "playground")),
                fields=("project",),
                name="api_key_playground_unique",
            ),
        ),
    ]
