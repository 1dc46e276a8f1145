import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.models.organizations


class Migration(migrations.Migration):
    """Second factors by organization, and single sign-on."""

    dependencies = [
        ("tenants", "0005_audit_chain"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="requires_second_factor",
            field=models.BooleanField(
                default=False, verbose_name="every member must have a second factor"
            ),
        ),
        migrations.CreateModel(
            name="SsoProvider",
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
                ("issuer", models.URLField(max_length=300, verbose_name="issuer")),
                ("client_id", models.CharField(max_length=200, verbose_name="client ID")),
                ("sealed_secret", models.BinaryField()),
                (
                    "joins_as",
                    models.CharField(
                        choices=[("developer", "Developer"), ("auditor", "Auditor")],
                        default="developer",
                        max_length=20,
                        verbose_name="role of who comes for the first time",
                    ),
                ),
                ("is_enforced", models.BooleanField(default=False)),
                ("worked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sso",
                        to="tenants.organization",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SsoDomain",
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
                ("name", models.CharField(max_length=253, verbose_name="domain")),
                ("token", models.CharField(editable=False, max_length=64)),
                ("verified_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sso_domains",
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "name"), name="sso_domain_once"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("verified_at__isnull", False)),
                        fields=("name",),
                        name="sso_domain_one_owner",
                    ),
                ],
            },
        ),
    ]
