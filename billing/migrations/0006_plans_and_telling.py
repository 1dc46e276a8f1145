"""The usual plans, and how far the telling of an alert has come."""

from __future__ import annotations

from django.db import migrations, models

PLANS = (
    ("free", "Free", {"rpm": 20, "tpm": 40_000, "streams": 2}),
    ("build", "Build", {"rpm": 300, "tpm": 500_000, "streams": 20}),
    ("scale", "Scale", {"rpm": 2000, "tpm": 5_000_000, "streams": 100}),
    ("enterprise", "Enterprise", {}),
)


def plans_make(apps, schema_editor):
    plans = apps.get_model("billing", "Plan").objects
    for slug, name, limits in PLANS:
        plans.get_or_create(slug=slug, defaults={"name": name, **limits})


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_partitions")]

    operations = [
        migrations.AddField("budgetalert", "mailed_at", models.DateTimeField(null=True)),
        migrations.AddField("budgetalert", "hooked_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "budgetalert", "attempts", models.PositiveSmallIntegerField(default=0, db_default=0)
        ),
        migrations.AddField("budgetalert", "next_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "budgetalert", "failure", models.CharField(blank=True, db_default="", max_length=200)
        ),
        migrations.AddIndex(
            "budgetalert",
            models.Index(
                fields=["next_at"],
                condition=models.Q(("told_at", None)),
                name="budget_alert_untold",
            ),
        ),
        migrations.AddIndex(
            "budgetalert",
            models.Index(
                fields=["organization"],
                condition=models.Q(("seen_at", None)),
                name="budget_alert_unseen",
            ),
        ),
        migrations.AlterModelOptions("budget", {"ordering": ["id"]}),
        migrations.AlterModelOptions("limit", {"ordering": ["id"]}),
        migrations.RunPython(plans_make, migrations.RunPython.noop),
    ]
