"""Price books: rates of the list, of plans and of single organizations."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Q

import tenants.models

LIST_EUR = UUID("01900000-0000-7000-8000-0000000000e0")
LIST_SEK = UUID("01900000-0000-7000-8000-0000000000e1")
CURRENCIES = [("EUR", "Eur"), ("SEK", "Sek")]
MODES = [("prepaid", "Prepaid"), ("postpaid", "Postpaid")]
PLANS = {
    "free": {
        "rank": 10, "promo_monthly": 5, "self_service": True,
        "support": "The documentation",
    },
    "build": {
        "rank": 20, "self_service": True,
        "support": "By mail, within two working days",
    },
    "scale": {
        "rank": 30, "mode": "postpaid", "credit_limit": 500, "self_service": True,
        "support": "By mail, within one working day",
    },
    "enterprise": {
        "rank": 40, "mode": "postpaid",
        "support": "A person of your own, as the contract says",
    },
}  # fmt: skip

GUARDS = """
CREATE FUNCTION rate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.approved_at IS NULL OR lower(OLD.valid) > now() THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.book_id, NEW.model, NEW.component, NEW.price, NEW.unit_scale, NEW.approved_at,
                lower(NEW.valid), lower_inc(NEW.valid), upper_inc(NEW.valid))
            IS NOT DISTINCT FROM (OLD.book_id, OLD.model, OLD.component, OLD.price,
                OLD.unit_scale, OLD.approved_at, lower(OLD.valid), lower_inc(OLD.valid),
                upper_inc(OLD.valid))
            AND (NEW.valid = OLD.valid OR (
                COALESCE(upper(OLD.valid) > now(), true)
                AND COALESCE(upper(NEW.valid) > now() - interval '1 minute', true)
            ))
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a rate that has begun keeps its price: only an end to come can change'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER rate_guard BEFORE UPDATE OR DELETE ON billing_rate
    FOR EACH ROW EXECUTE FUNCTION rate_guard();
CREATE TRIGGER price_book_fixed BEFORE UPDATE OF parent_id, currency ON billing_pricebook
    FOR EACH ROW WHEN ((OLD.parent_id, OLD.currency) IS DISTINCT FROM (NEW.parent_id, NEW.currency))
    EXECUTE FUNCTION refuse_change();
"""
NO_GUARDS = """
DROP TRIGGER price_book_fixed ON billing_pricebook;
DROP TRIGGER rate_guard ON billing_rate;
DROP FUNCTION rate_guard();
"""


def lists_make(apps: Any, schema_editor: Any) -> None:
    books = apps.get_model("billing", "PriceBook").objects
    books.create(id=LIST_EUR, slug="list", name="List", currency="EUR", is_public=True)
    books.create(id=LIST_SEK, slug="list-sek", name="List, SEK", currency="SEK", is_public=True)


def rates_approve(apps: Any, schema_editor: Any) -> None:
    """All that there is was in force."""
    apps.get_model("billing", "Rate").objects.update(approved_at=F("created_at"))


def plans_say(apps: Any, schema_editor: Any) -> None:
    for slug, facts in PLANS.items():
        plans = apps.get_model("billing", "Plan").objects.filter(slug=slug)
        plans.update(is_public=True, **facts)


def _user() -> models.ForeignKey[Any, Any]:
    return models.ForeignKey(
        null=True,
        on_delete=django.db.models.deletion.SET_NULL,
        related_name="+",
        to=settings.AUTH_USER_MODEL,
    )


def _book(related_name: str) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey(
        blank=True,
        null=True,
        on_delete=django.db.models.deletion.PROTECT,
        related_name=related_name,
        to="billing.pricebook",
        verbose_name="price book",
    )


def _money(verbose_name: str, **facts: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        decimal_places=2,
        max_digits=12,
        validators=[django.core.validators.MinValueValidator(0)],
        verbose_name=verbose_name,
        **facts,
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("billing", "0009_leases"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="PriceBook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.models.new_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("slug", models.SlugField(unique=True, verbose_name="short name")),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "currency",
                    models.CharField(choices=CURRENCIES, max_length=3, verbose_name="currency"),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="children",
                        to="billing.pricebook",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="price_books",
                        to="tenants.organization",
                    ),
                ),
                (
                    "is_public",
                    models.BooleanField(default=False, verbose_name="shown to everybody"),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
            options={
                "ordering": ["slug"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(currency__in=["EUR", "SEK"]), name="price_book_currency_known"
                    ),
                    models.CheckConstraint(
                        condition=Q(parent__isnull=False) | Q(pk__in=[LIST_EUR, LIST_SEK]),
                        name="price_book_ends_at_a_list",
                    ),
                    models.CheckConstraint(
                        condition=~Q(parent=F("id")), name="price_book_not_its_own_parent"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="VolumeTier",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tiers",
                        to="billing.pricebook",
                    ),
                ),
                ("from_amount", _money("from")),
                (
                    "percent",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(100),
                        ],
                        verbose_name="percent",
                    ),
                ),
            ],
            options={
                "ordering": ["book", "from_amount"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("book", "from_amount"), name="volume_tier_unique"
                    ),
                    models.CheckConstraint(
                        condition=Q(from_amount__gte=0, percent__gte=0, percent__lte=100),
                        name="volume_tier_sane",
                    ),
                ],
            },
        ),
        migrations.RunPython(lists_make, migrations.RunPython.noop),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.RemoveConstraint("rate", "rate_currency_known"),
        migrations.RemoveConstraint("rate", "rate_no_overlap"),
        migrations.RemoveField("rate", "currency"),
        migrations.AddField(
            "rate",
            "book",
            models.ForeignKey(
                default=LIST_EUR,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rates",
                to="billing.pricebook",
            ),
            preserve_default=False,
        ),
        migrations.AddField("rate", "created_by", _user()),
        migrations.AddField(
            "rate",
            "created_at",
            models.DateTimeField(default=django.utils.timezone.now, editable=False),
        ),
        migrations.AddField("rate", "approved_by", _user()),
        migrations.AddField("rate", "approved_at", models.DateTimeField(editable=False, null=True)),
        migrations.AlterModelOptions("rate", {"ordering": ["book", "model", "component", "valid"]}),
        migrations.RunPython(rates_approve, migrations.RunPython.noop),
        migrations.AddConstraint(
            "rate",
            models.CheckConstraint(
                condition=Q(created_by=None) | ~Q(created_by=F("approved_by")),
                name="rate_approved_by_another",
            ),
        ),
        migrations.AddConstraint(
            "rate",
            django.contrib.postgres.constraints.ExclusionConstraint(
                condition=Q(approved_at__isnull=False),
                expressions=[
                    (F("book"), django.contrib.postgres.fields.ranges.RangeOperators.EQUAL),
                    (F("model"), django.contrib.postgres.fields.ranges.RangeOperators.EQUAL),
                    (F("component"), django.contrib.postgres.fields.ranges.RangeOperators.EQUAL),
                    (F("valid"), django.contrib.postgres.fields.ranges.RangeOperators.OVERLAPS),
                ],
                name="rate_no_overlap",
            ),
        ),
        migrations.AlterModelOptions("plan", {"ordering": ["rank", "name"]}),
        migrations.AddField("plan", "book", _book("plans")),
        migrations.AddField(
            "plan",
            "mode",
            models.CharField(
                choices=MODES, default="prepaid", max_length=10, verbose_name="payment"
            ),
        ),
        migrations.AddField("plan", "credit_limit", _money("credit limit", blank=True, null=True)),
        migrations.AddField(
            "plan", "promo_monthly", _money("free credit each month", default=Decimal(0))
        ),
        migrations.AddField(
            "plan",
            "support",
            models.CharField(blank=True, max_length=200, verbose_name="support"),
        ),
        migrations.AddField(
            "plan",
            "is_public",
            models.BooleanField(default=False, verbose_name="shown to everybody"),
        ),
        migrations.AddField(
            "plan", "rank", models.PositiveSmallIntegerField(default=0, verbose_name="rank")
        ),
        migrations.AddField(
            "plan",
            "self_service",
            models.BooleanField(default=False, verbose_name="customers may choose it"),
        ),
        migrations.AddField(
            "plan",
            "models",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=100),
                blank=True,
                default=list,
                size=None,
                verbose_name="models",
            ),
        ),
        migrations.RunPython(plans_say, migrations.RunPython.noop),
        migrations.AddField(
            "terms",
            "currency",
            models.CharField(
                choices=CURRENCIES, default="EUR", max_length=3, verbose_name="currency"
            ),
        ),
        migrations.AddField("terms", "book", _book("terms")),
        migrations.AddField("terms", "plan_since", models.DateTimeField(editable=False, null=True)),
        migrations.AddConstraint(
            "terms",
            models.CheckConstraint(
                condition=Q(currency__in=["EUR", "SEK"]), name="terms_currency_known"
            ),
        ),
        migrations.AddField(
            "usageevent",
            "book",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.pricebook",
            ),
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
