"""VAT in kronor on invoices in euro, the rates it is told at, and an account for bad debt."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("billing", "0013_months_by_the_owner"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.AlterField(
            model_name="outboxitem",
            name="op",
            field=models.CharField(
                choices=[
                    ("customer.create", "Make a customer"),
                    ("checkout.create", "Open a checkout"),
                    ("checkout.expire", "Close a checkout"),
                    ("payment_intent.create", "Charge a card"),
                    ("payment_intent.cancel", "Cancel a charge"),
                    ("invoice.create", "Make an invoice"),
                    ("invoiceitem.create", "Add a line to an invoice"),
                    ("invoice.finalize", "Finalise an invoice"),
                    ("invoice.void", "Void an invoice"),
                    ("invoice.delete", "Delete the draft of an invoice"),
                    ("invoice.pay", "Mark an invoice as paid by bank"),
                    ("credit_note.create", "Issue a credit note"),
                    ("refund.create", "Pay back"),
                ],
                max_length=30,
                verbose_name="act",
            ),
        ),
        migrations.AddField(
            model_name="creditnote",
            name="vat_sek",
            field=models.DecimalField(decimal_places=2, max_digits=14, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="sek_rate",
            field=models.DecimalField(decimal_places=6, max_digits=10, null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="sek_rate_day",
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name="invoice",
            name="sek_rate_source",
            field=models.CharField(blank=True, max_length=100),
        ),
        migrations.AddField(
            model_name="invoice",
            name="vat_sek",
            field=models.DecimalField(decimal_places=2, max_digits=14, null=True),
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
                    ("bad_debt", "Bad debt"),
                    ("vat_payable", "VAT to pay"),
                    ("rounding", "Rounding"),
                    ("breakage", "Breakage"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("day", models.DateField(unique=True, verbose_name="day")),
                (
                    "rate",
                    models.DecimalField(
                        decimal_places=6, max_digits=10, verbose_name="SEK for one EUR"
                    ),
                ),
                ("source", models.CharField(max_length=100, verbose_name="source")),
                (
                    "entered_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "entered_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-day"],
            },
        ),
    ]
