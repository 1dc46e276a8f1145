"""What backends cost, so that pages can say what is left of what they earn."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inference", "0006_installation")]

    operations = [
        migrations.CreateModel(
            name="BackendCost",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("since", models.DateField(verbose_name="from")),
                (
                    "per_hour",
                    models.DecimalField(
                        decimal_places=4, max_digits=12, verbose_name="EUR per hour"
                    ),
                ),
                (
                    "backend",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="costs",
                        to="inference.backend",
                    ),
                ),
            ],
            options={
                "ordering": ["backend", "-since"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("backend", "since"), name="backend_cost_of_day"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("per_hour__gte", 0)), name="backend_cost_not_negative"
                    ),
                ],
            },
        ),
    ]
