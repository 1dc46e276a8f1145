import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import tenants.models.organizations
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0007_members"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="allowed_models",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=100), blank=True, default=list
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="allowed_networks",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50), blank=True, default=list
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="allowed_tasks",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.SlugField(max_length=20), blank=True, default=list
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="expires"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="last_network",
            field=models.CharField(blank=True, editable=False, max_length=50),
        ),
        migrations.AddField(
            model_name="apikey",
            name="service_account",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="api_keys",
                to="tenants.serviceaccount",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="warned_days",
            field=models.PositiveSmallIntegerField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="organization",
            name="keys_end_with_member",
            field=models.BooleanField(default=True),
        ),
        migrations.CreateModel(
            name="AdminKey",
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
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("hint", models.CharField(editable=False, max_length=20)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("pepper_version", models.PositiveSmallIntegerField(editable=False)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                ("warned_days", models.PositiveSmallIntegerField(editable=False, null=True)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                ("last_network", models.CharField(blank=True, editable=False, max_length=50)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                ("may_write", models.BooleanField(default=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="admin_keys",
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="KeyLeak",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("hint", models.CharField(max_length=20)),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("scanner", "Secret scanning"),
                            ("holder", "Someone who found it"),
                        ],
                        max_length=10,
                    ),
                ),
                ("url", models.CharField(blank=True, max_length=500)),
                ("reported_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("told_at", models.DateTimeField(null=True)),
                (
                    "admin_key",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leaks",
                        to="tenants.adminkey",
                    ),
                ),
                (
                    "api_key",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leaks",
                        to="tenants.apikey",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="key_leaks",
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["-reported_at"],
            },
        ),
        migrations.CreateModel(
            name="RetiringSecret",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.organizations.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("hint", models.CharField(max_length=20)),
                ("digest", models.BinaryField(max_length=32, unique=True)),
                ("until", models.DateTimeField()),
                ("last_used_at", models.DateTimeField(null=True)),
                ("last_network", models.CharField(blank=True, max_length=50)),
                (
                    "api_key",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="retiring",
                        to="tenants.apikey",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.organization",
                    ),
                ),
            ],
        ),
    ]
