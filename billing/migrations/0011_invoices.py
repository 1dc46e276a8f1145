"""Invoices, credit notes, whom they go to, and periods that close."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import tenants.models.organizations

# A batch of before could be of two months: all of it is then of the later one.
MIXED = """
ALTER TABLE billing_usageevent DISABLE TRIGGER usage_event_append_only;
WITH mixed AS (
    SELECT batch_id, max(date_trunc('month', occurred_at, 'UTC')) AS month
    FROM billing_usageevent WHERE batch_id IS NOT NULL GROUP BY batch_id
    HAVING max(date_trunc('month', occurred_at, 'UTC'))
        > min(date_trunc('month', occurred_at, 'UTC'))
)
UPDATE billing_usageevent event SET billed_in = (mixed.month AT TIME ZONE 'UTC')::date
FROM mixed WHERE mixed.batch_id = event.batch_id
    AND date_trunc('month', event.occurred_at, 'UTC') < mixed.month;
ALTER TABLE billing_usageevent ENABLE TRIGGER usage_event_append_only;
"""

GUARD = """
CREATE FUNCTION refuse_invoice_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE free text[] := TG_ARGV[0]::text[];
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.number = '' THEN RETURN OLD; END IF;
    ELSIF OLD.number = '' OR to_jsonb(OLD) - free = to_jsonb(NEW) - free THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% % is final and cannot be changed.', TG_TABLE_NAME, OLD.number
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER invoice_final BEFORE UPDATE OR DELETE ON billing_invoice
    FOR EACH ROW EXECUTE FUNCTION refuse_invoice_change(
        '{state,paid,credited,paid_at,stripe_id,hosted_url}');
CREATE TRIGGER credit_note_final BEFORE UPDATE OR DELETE ON billing_creditnote
    FOR EACH ROW EXECUTE FUNCTION refuse_invoice_change('{state,stripe_id,issued_by_id}');
CREATE TRIGGER credit_note_line_final BEFORE UPDATE OR DELETE ON billing_creditnoteline
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER invoice_document_final BEFORE UPDATE OR DELETE ON billing_invoicedocument
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_invoice_line_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE changed uuid := CASE TG_OP WHEN 'INSERT' THEN NEW.invoice_id ELSE OLD.invoice_id END;
DECLARE final text := (SELECT number FROM billing_invoice WHERE id = changed);
BEGIN
    IF final <> '' THEN
        RAISE EXCEPTION 'The lines of invoice % are final.', final
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER invoice_line_final BEFORE INSERT OR UPDATE OR DELETE ON billing_invoiceline
    FOR EACH ROW EXECUTE FUNCTION refuse_invoice_line_change();
CREATE FUNCTION refuse_mixed_currencies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(DISTINCT currency) FROM billing_account
        WHERE id IN (NEW.debit_id, NEW.credit_id)) > 1 THEN
        RAISE EXCEPTION 'A transfer is of one currency.' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfer_of_one_currency BEFORE INSERT ON billing_transfer
    FOR EACH ROW EXECUTE FUNCTION refuse_mixed_currencies();
"""
UNGUARD = """
DROP TRIGGER transfer_of_one_currency ON billing_transfer;
DROP TRIGGER invoice_line_final ON billing_invoiceline;
DROP TRIGGER invoice_document_final ON billing_invoicedocument;
DROP TRIGGER credit_note_line_final ON billing_creditnoteline;
DROP TRIGGER credit_note_final ON billing_creditnote;
DROP TRIGGER invoice_final ON billing_invoice;
DROP FUNCTION refuse_mixed_currencies();
DROP FUNCTION refuse_invoice_line_change();
DROP FUNCTION refuse_invoice_change();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("billing", "0010_price_books"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations: ClassVar = [
        migrations.CreateModel(
            name="BillingProfile",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="billing_profile",
                        serialize=False,
                        to="tenants.organization",
                    ),
                ),
                ("legal_name", models.CharField(max_length=200, verbose_name="legal name")),
                ("address", models.CharField(blank=True, max_length=200, verbose_name="address")),
                (
                    "address_more",
                    models.CharField(
                        blank=True, max_length=200, verbose_name="address, second line"
                    ),
                ),
                ("postcode", models.CharField(blank=True, max_length=20, verbose_name="postcode")),
                ("city", models.CharField(blank=True, max_length=100, verbose_name="city")),
                ("country", models.CharField(default="SE", max_length=2, verbose_name="country")),
                ("is_business", models.BooleanField(default=True, verbose_name="a business")),
                ("vat_id", models.CharField(blank=True, max_length=20, verbose_name="VAT id")),
                ("vat_checked_at", models.DateTimeField(editable=False, null=True)),
                ("vat_evidence", models.JSONField(default=dict, editable=False)),
                (
                    "email",
                    models.EmailField(blank=True, max_length=254, verbose_name="mail for invoices"),
                ),
                (
                    "reference",
                    models.CharField(blank=True, max_length=100, verbose_name="your reference"),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="CreditNote",
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
                ("number", models.CharField(max_length=30, unique=True, verbose_name="number")),
                ("reason", models.CharField(max_length=300, verbose_name="reason")),
                (
                    "net",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="net"
                    ),
                ),
                (
                    "vat",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="VAT"
                    ),
                ),
                (
                    "total",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="total"
                    ),
                ),
                (
                    "from_open",
                    models.DecimalField(
                        decimal_places=2,
                        default=Decimal(0),
                        max_digits=14,
                        verbose_name="from open",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("issued", "Issued"),
                            ("applied", "Taken off the invoice"),
                            ("owed", "To pay back"),
                            ("refunded", "Paid back"),
                            ("prepaid", "Given as credit"),
                        ],
                        default="issued",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                (
                    "issued_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("stripe_id", models.CharField(blank=True, max_length=100)),
            ],
            options={
                "ordering": ["-issued_at"],
            },
        ),
        migrations.CreateModel(
            name="CreditNoteLine",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("text", models.CharField(max_length=300)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=2,
                        max_digits=14,
                        validators=[django.core.validators.MinValueValidator(0)],
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
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
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "Usage"), ("top_up", "Top-up")],
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                ("number", models.CharField(blank=True, max_length=30, verbose_name="number")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("closing", "Closing"),
                            ("frozen", "Frozen"),
                            ("draft", "Draft"),
                            ("pushing", "On its way to Stripe"),
                            ("pushed", "At Stripe"),
                            ("halted", "Halted"),
                            ("finalised", "Finalised"),
                            ("past_due", "Past due"),
                            ("paid", "Paid"),
                            ("uncollectible", "Uncollectible"),
                            ("void", "Void"),
                        ],
                        default="open",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("period_start", models.DateField(verbose_name="from")),
                ("period_end", models.DateField(verbose_name="until")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                (
                    "subtotal",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="subtotal"
                    ),
                ),
                (
                    "vat_rate",
                    models.DecimalField(
                        decimal_places=2, default=0, max_digits=5, verbose_name="VAT rate"
                    ),
                ),
                (
                    "vat_amount",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="VAT"
                    ),
                ),
                (
                    "vat_treatment",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("domestic", "Domestic"),
                            ("reverse_charge", "Reverse charge"),
                            ("consumer", "Consumer in the EU"),
                            ("outside", "Outside the EU"),
                        ],
                        max_length=20,
                    ),
                ),
                ("vat_note", models.CharField(blank=True, max_length=200)),
                (
                    "total",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="total"
                    ),
                ),
                (
                    "paid",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="paid"
                    ),
                ),
                (
                    "credited",
                    models.DecimalField(
                        decimal_places=2, default=Decimal(0), max_digits=14, verbose_name="credited"
                    ),
                ),
                ("root", models.CharField(blank=True, max_length=64)),
                ("event_count", models.PositiveBigIntegerField(default=0)),
                ("seller", models.JSONField(default=dict)),
                ("buyer", models.JSONField(default=dict)),
                ("source_id", models.CharField(blank=True, max_length=100)),
                ("halted_because", models.CharField(blank=True, max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                ("frozen_at", models.DateTimeField(null=True)),
                ("finalised_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True, verbose_name="due")),
                ("paid_at", models.DateTimeField(null=True)),
                ("stripe_id", models.CharField(blank=True, max_length=100)),
                ("hosted_url", models.URLField(blank=True, max_length=500)),
            ],
            options={
                "ordering": ["-period_start", "-created_at"],
            },
        ),
        migrations.CreateModel(
            name="InvoiceDocument",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("pdf", models.BinaryField()),
                (
                    "made_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
            ],
        ),
        migrations.CreateModel(
            name="InvoiceLine",
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
                ("position", models.PositiveIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("usage", "Usage"),
                            ("late", "Late usage"),
                            ("discount", "Discount"),
                            ("promo", "Promotional credit"),
                            ("prepaid", "Prepaid credit"),
                            ("top_up", "Top-up"),
                        ],
                        default="usage",
                        max_length=10,
                    ),
                ),
                ("month", models.DateField(null=True)),
                ("model", models.CharField(blank=True, max_length=100)),
                (
                    "component",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("input", "Input"),
                            ("cached_input", "Cached input"),
                            ("output", "Output"),
                            ("audio_second", "Audio"),
                        ],
                        max_length=20,
                    ),
                ),
                ("quantity", models.PositiveBigIntegerField(default=1)),
                (
                    "unit_price",
                    models.DecimalField(decimal_places=6, default=Decimal(0), max_digits=20),
                ),
                ("unit_scale", models.PositiveIntegerField(default=1)),
                ("exact", models.DecimalField(decimal_places=12, max_digits=38)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14)),
                ("text", models.CharField(max_length=200)),
                ("root", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "ordering": ["invoice", "position"],
            },
        ),
        migrations.CreateModel(
            name="NumberSeries",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("series", models.CharField(max_length=10)),
                ("year", models.PositiveSmallIntegerField()),
                ("last", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name="books",
            name="closed_until",
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name="usageevent",
            name="billed_in",
            field=models.DateField(null=True),
        ),
        migrations.AlterField(
            model_name="account",
            name="kind",
            field=models.CharField(
                choices=[
                    ("prepaid", "Prepaid credit"),
                    ("promo", "Promotional credit"),
                    ("unbilled", "Unbilled usage"),
                    ("receivable", "Receivable"),
                    ("owed", "To pay back"),
                    ("revenue", "Revenue"),
                    ("discount", "Discounts"),
                    ("promo_expense", "Promotional expense"),
                    ("clearing", "Payment clearing"),
                    ("bank", "Bank"),
                    ("fee_expense", "Payment fees"),
                    ("vat_payable", "VAT to pay"),
                    ("rounding", "Rounding"),
                    ("breakage", "Breakage"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="issued_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_notes",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="note",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="lines",
                to="billing.creditnote",
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="invoice",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="invoices",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="credit_notes",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoicedocument",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="documents",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoicedocument",
            name="note",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="documents",
                to="billing.creditnote",
            ),
        ),
        migrations.AddField(
            model_name="invoicedocument",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="invoice",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="lines",
                to="billing.invoice",
            ),
        ),
        migrations.AddField(
            model_name="invoiceline",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="creditnoteline",
            name="line",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.invoiceline",
            ),
        ),
        migrations.AddConstraint(
            model_name="numberseries",
            constraint=models.UniqueConstraint(
                fields=("series", "year"), name="number_series_of_year"
            ),
        ),
        migrations.AddIndex(
            model_name="usageevent",
            index=models.Index(
                condition=models.Q(("billed_in__isnull", False)),
                fields=["organization", "billed_in"],
                name="usage_event_late",
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(
                fields=["organization", "-period_start"], name="invoice_of_organization"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["state", "due_at"], name="invoice_state"),
        ),
        migrations.AddIndex(
            model_name="transfer",
            index=models.Index(fields=["-created_at", "-id"], name="transfer_newest"),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "usage"), models.Q(("state", "void"), _negated=True)),
                fields=("organization", "period_start"),
                name="invoice_once_a_month",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("number", ""), _negated=True),
                fields=("number",),
                name="invoice_number_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "top_up")),
                fields=("organization", "source_id"),
                name="invoice_of_top_up_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(
                            models.F("subtotal"), "+", models.F("vat_amount")
                        ),
                    )
                ),
                name="invoice_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(("subtotal__gte", 0), ("vat_amount__gte", 0)),
                name="invoice_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoice",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("credited__gte", 0), ("credited__lte", models.F("total")), ("paid__gte", 0)
                ),
                name="invoice_credited_within_total",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditnote",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("from_open__lte", models.F("total")),
                    (
                        "total",
                        django.db.models.expressions.CombinedExpression(
                            models.F("net"), "+", models.F("vat")
                        ),
                    ),
                    ("total__gt", 0),
                ),
                name="credit_note_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="invoicedocument",
            constraint=models.UniqueConstraint(
                fields=("invoice", "note"), name="invoice_document_once", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="invoiceline",
            constraint=models.UniqueConstraint(
                fields=("invoice", "position"), name="invoice_line_position"
            ),
        ),
        migrations.RunSQL(MIXED, migrations.RunSQL.noop),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
